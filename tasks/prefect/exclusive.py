"""Exclusive use of an endpoint: only one flow run measures it at a time.

On one machine this is a lock file, which the kernel releases when its holder dies; across machines it is a concurrency
limit at their Prefect server (tasks/prefect/lease.py).
"""

import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import orjson
from platformdirs import user_cache_path
from prefect.runtime import flow_run
from prefect.settings import get_current_settings

from shapebench.errors import ShapebenchError
from shapebench.spec.model import Endpoint
from shapebench.support.file_lock import file_lock
from tasks.prefect import lease

logger = logging.getLogger("shapebench.probe")


class EndpointBusyError(ShapebenchError):
    """Another run measures the endpoint, and this one does not wait for it."""


class LockFolderError(ShapebenchError):
    """The folder of this machine's lock files cannot be written."""


@dataclass(frozen=True)
class Holder:
    """Run that measures, as the lock file names it."""

    run: str
    process: int
    lease: str | None = None

    def __str__(self) -> str:
        return f"{self.run}, process {self.process} on this machine"


@contextmanager
def exclusive_use(endpoint: Endpoint, when_busy: Literal["wait", "fail"] = "wait") -> Iterator[None]:
    """Use this endpoint exclusively while the block runs; first wait for other runs, or raise EndpointBusyError."""
    name = "shapebench-" + re.sub(r"[^A-Za-z0-9.]+", "-", endpoint.url.partition("://")[2])
    wait_for = _Waiting(endpoint.url, give_up=when_busy == "fail")
    with _on_this_machine(name, wait_for) as (dead, note), _at_the_server(name, wait_for, dead) as taken:
        note(taken)
        yield


class _Waiting:
    """Logs each holder once while waiting for it; or raises EndpointBusyError at once."""

    def __init__(self, url: str, *, give_up: bool) -> None:
        self._url, self._give_up = url, give_up
        self._logged: set[str] = set()

    def __call__(self, holder: str) -> None:
        if self._give_up:
            raise EndpointBusyError(
                f"{self._url} is being measured by {holder}.",
                "Run it again when that run is done, or set when_busy: wait, which waits until the endpoint is free.",
            )
        if holder not in self._logged:
            logger.info("Waiting for %s, which measures %s", holder, self._url)
        self._logged.add(holder)


@contextmanager
def _on_this_machine(
    name: str, wait_for: Callable[[str], None]
) -> Iterator[tuple[Holder | None, Callable[[str | None], None]]]:
    """Yield the flow run that died while it measured, if any, and a function that records our lease."""
    file = _lock_folder() / f"{name}.lock"
    with file_lock(file, lambda _waited_s: wait_for(str(_read_holder(file) or "another run on this machine"))):
        dead = _read_holder(file)
        note = Holder(f"flow run {flow_run.name}", os.getpid())
        _write(file, note)
        try:
            yield dead, lambda taken: _write(file, Holder(note.run, note.process, taken))
        finally:
            file.write_bytes(b"")


def _lock_folder() -> Path:
    folder = user_cache_path("shapebench")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise LockFolderError(
            f"The folder {folder} of the lock files cannot be written to: {error.strerror}.",
            "Set XDG_CACHE_HOME to a folder that can be written to.",
        ) from None
    return folder


def _read_holder(file: Path) -> Holder | None:
    try:
        return Holder(**orjson.loads(file.read_bytes()))
    except (ValueError, TypeError):  # empty, or being written
        return None


def _write(file: Path, holder: Holder) -> None:
    file.write_bytes(orjson.dumps(asdict(holder)))


@contextmanager
def _at_the_server(name: str, wait_for: Callable[[str], None], dead: Holder | None) -> Iterator[str | None]:
    """Yield the lease; None without a permanent server, which could not make other runs wait."""
    if os.environ.get("PREFECT__SERVER_EPHEMERAL") or not get_current_settings().api.url:
        yield None
        return
    if dead and dead.lease:
        logger.info("The endpoint is free again: this run died while it measured: %s", dead)
        lease.release_lease(dead.lease)
    with lease.hold_lease(name, wait_for) as taken:
        yield taken
