"""Files that are there complete or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Gives a file beside `path` to write to; it takes its place at the end, or is removed where the block raises."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")  # another process may be writing the same
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
