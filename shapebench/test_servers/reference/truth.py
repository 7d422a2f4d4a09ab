"""Log of the true send times, against which a load generator is checked."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import orjson

from shapebench.errors import ShapebenchError

_PIECE_REQUESTS = 8  # some 0.1 ms of work
_MAX_UNWRITTEN_REQUESTS = 4096


@dataclass(frozen=True, slots=True)
class Truth:
    """One request; times are of CLOCK_REALTIME.

    `sent_ns` is taken just before the send() that handed the kernel the last byte of a token; an answer that is not
    streamed has one for all its tokens. `output_tokens` are those that were sent.
    """

    request_id: str
    received_ns: int
    sent_ns: list[int]
    prompt_tokens: int
    output_tokens: int


class Log:
    """A log with one JSON line per request, buffered until there is time to write."""

    def __init__(self, file: FileIO | None) -> None:
        self._file = file
        self._unwritten: deque[Truth] = deque()

    def add(self, truth: Truth) -> None:
        if self._file:
            self._unwritten.append(truth)
        if len(self._unwritten) > _MAX_UNWRITTEN_REQUESTS:  # a server without a quiet moment
            self.write_piece()

    def write_piece(self) -> bool:
        """Write a few lines, and return whether there were any."""
        some = [self._unwritten.popleft() for _ in range(min(_PIECE_REQUESTS, len(self._unwritten)))]
        if self._file and some:
            self._file.write(b"".join(orjson.dumps(truth, option=orjson.OPT_APPEND_NEWLINE) for truth in some))
        return bool(some)

    def write_all(self) -> None:
        while self.write_piece():
            pass


@contextmanager
def opened(path: Path | None) -> Iterator[Log]:
    """Append to that file, and write everything by the end of the block; None keeps nothing."""
    if path is None:
        yield Log(None)
        return
    try:
        file = FileIO(path, "a")
    except OSError as error:
        raise ShapebenchError(
            f"Cannot write the log {path}: {error.strerror}", "Name a file in a folder that exists."
        ) from None
    with file:
        log = Log(file)
        try:
            yield log
        finally:
            log.write_all()
