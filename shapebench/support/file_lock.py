"""Locks between processes on one machine, which the kernel releases when the holder dies."""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PAUSE_S = 0.05


@contextmanager
def file_lock(path: Path, while_waiting: Callable[[float], None]) -> Iterator[None]:
    """Hold the lock while the block runs.

    `while_waiting` is called repeatedly with the seconds waited so far, and raises to give up.
    """
    with path.open("a") as file:
        begun_s = time.monotonic()
        while not _try_lock(file.fileno()):
            while_waiting(time.monotonic() - begun_s)
            time.sleep(PAUSE_S)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
