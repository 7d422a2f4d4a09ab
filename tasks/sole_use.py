"""One measurement at a time on an endpoint: two flow runs must not measure each other."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from platformdirs import user_cache_path
from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.settings import get_current_settings

from shapebench.lock import locked
from shapebench.spec import Endpoint

logger = logging.getLogger("shapebench.probe")
LEASE_S = 60  # a run that died frees the endpoint after this long


@contextmanager
def sole_use(endpoint: Endpoint) -> Iterator[None]:
    """Wait until no other flow run measures this endpoint, and keep others waiting for as long as the block runs."""
    name = "shapebench-" + re.sub(r"[^A-Za-z0-9.]+", "-", endpoint.url.partition("://")[2])
    with _on_this_machine(name, endpoint.url), _at_the_server(name):
        yield


@contextmanager
def _on_this_machine(name: str, url: str) -> Iterator[None]:
    said = False

    def say_so(_waited_s: float) -> None:
        nonlocal said
        if not said:
            logger.info("Waiting for another run on this machine that measures %s", url)
        said = True

    folder = user_cache_path("shapebench", ensure_exists=True)
    with locked(folder / f"{name}.lock", say_so):
        yield


@contextmanager
def _at_the_server(name: str) -> Iterator[None]:
    """A limit that lasts as long as a lease: only a server that outlives its runs can end those of dead ones."""
    if os.environ.get("PREFECT__SERVER_EPHEMERAL") or not get_current_settings().api.url:
        yield
        return
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, 1)
    logger.info("Taking turns by the Prefect concurrency limit %s", name)
    with concurrency(name, occupy=1, strict=True, lease_duration=LEASE_S):
        yield
