"""A flow that does nothing but hold an endpoint: python -m tests.lease_holder URL wait|fail SECONDS."""

import sys
import time

from prefect import flow

from shapebench.spec.model import Endpoint
from tasks.prefect.exclusive import exclusive_use


@flow
def hold(url: str, when_busy: str, hold_s: float) -> None:
    with exclusive_use(Endpoint(url=url, model="m"), when_busy):  # type: ignore[arg-type]
        print("in", flush=True)
        time.sleep(hold_s)
    print("out", flush=True)


if __name__ == "__main__":
    hold(sys.argv[1], sys.argv[2], float(sys.argv[3]))
