"""Files that are either complete or missing."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary file to write to; it replaces `path` at the end, or is removed if the block raises."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")  # another process may be writing the same
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
