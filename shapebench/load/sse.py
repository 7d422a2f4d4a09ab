"""Server-sent events, each with the time at which its last byte arrived."""

import re
from collections.abc import Iterable, Iterator

Piece = tuple[int, bytes]  # arrival (ns), and the bytes of the body that arrived

LINE_END = re.compile(rb"\r\n|\n|\r")


def events(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The data of each event, wherever the network cut the stream."""
    data: list[bytes] = []
    arrival_ns = 0
    for arrival_ns, line in _lines(pieces):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            yield arrival_ns, b"\n".join(data)
            data = []
    if data:  # the stream ended without the blank line: what is there is given, complete or not
        yield arrival_ns, b"\n".join(data)


def _lines(pieces: Iterable[Piece]) -> Iterator[Piece]:
    rest = b""
    arrival_ns = 0
    after_cr = False
    for arrival_ns, piece in pieces:
        text = piece.removeprefix(b"\n") if after_cr else piece  # a CRLF that was cut in two is one line end
        after_cr = piece.endswith(b"\r") if piece else after_cr
        *lines, rest = LINE_END.split(rest + text)
        for line in lines:
            yield arrival_ns, line
    if rest:
        yield arrival_ns, rest
