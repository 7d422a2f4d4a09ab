"""One measurement at a time on an endpoint: two flow runs must not measure each other."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency

from shapebench.spec import Endpoint


@contextmanager
def sole_use(endpoint: Endpoint) -> Iterator[None]:
    """Wait until no other flow run measures this endpoint, and keep others waiting for as long as the block runs."""
    limit = "shapebench-" + re.sub(r"[^A-Za-z0-9.]+", "-", endpoint.url.partition("://")[2])
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(limit, 1)
    with concurrency(limit, occupy=1, strict=True):
        yield
