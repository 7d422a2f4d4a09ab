"""Log of the true times of each request, against which a load generator is checked."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from shapebench.errors import ShapebenchError


@dataclass
class Truth:
    """One request; times are of CLOCK_REALTIME, those of tokens taken just before the write."""

    request_id: str
    received_ns: int
    first_token_ns: int | None = None
    last_token_ns: int | None = None
    prompt_tokens: int = 0
    output_tokens: int = 0
    finish_reason: str = "abort"

    def mark(self, output_tokens: int) -> None:
        """Note that the answer is about to have this many tokens."""
        self.last_token_ns = time.time_ns()
        self.first_token_ns = self.first_token_ns or self.last_token_ns
        self.output_tokens = output_tokens


Log = Callable[[Truth], None]


def no_log(truth: Truth) -> None:
    """Keep nothing."""


@contextmanager
def opened(path: Path | None) -> Iterator[Log]:
    """Append one JSON line for each request, in the file at once; None keeps nothing."""
    if path is None:
        yield no_log
        return
    try:
        file = path.open("ab", buffering=0)
    except OSError as error:
        raise ShapebenchError(
            f"Cannot write the log {path}: {error.strerror}", "Name a file in a folder that exists."
        ) from None
    with file:
        yield lambda truth: _append(file.write, truth)


def _append(write: Callable[[bytes], object], truth: Truth) -> None:
    write(orjson.dumps(truth, option=orjson.OPT_APPEND_NEWLINE))
