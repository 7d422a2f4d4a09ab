"""Waits that only tests shorten, in their own process and in child processes."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

ENVIRONMENT = "SHAPEBENCH_TIMING"  # a JSON object of the fields that differ


@dataclass(frozen=True)
class Timing:
    """Waits in seconds, as they are in production."""

    lease_renewal_s: float = 15.0  # between two renewals of the exclusive use of an endpoint
    lease_look_s: float = 2.0  # between two looks whether an endpoint is free
    lease_forgotten_s: float = 120.0  # until a slot that no run holds is freed: twice a lease
    precise_after_s: float = 10.0  # a level is watched for so long before it may count as precise
    stop_grace_s: float = 15.0  # a launched server has to end by itself after SIGTERM
    retry_delays_s: tuple[float, ...] = (2.0, 10.0)  # before a probe or a publication is tried again
    store_retry_delay_s: float = 5.0  # before the results file is written to again


def timing() -> Timing:
    """Return the waits of this process."""
    return Timing(**json.loads(os.environ.get(ENVIRONMENT, "{}")))


def environment(**changes: float | tuple[float, ...]) -> dict[str, str]:
    """Return the environment variable that shortens the waits of a process."""
    return {ENVIRONMENT: json.dumps(changes)}


@contextmanager
def set_testing(**changes: float | tuple[float, ...]) -> Iterator[None]:
    """Shorten waits while the block runs, here and in processes that are started in it."""
    before = os.environ.get(ENVIRONMENT)
    os.environ |= environment(**changes)
    try:
        yield
    finally:
        if before is None:
            del os.environ[ENVIRONMENT]
        else:
            os.environ[ENVIRONMENT] = before
