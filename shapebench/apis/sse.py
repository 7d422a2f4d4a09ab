"""Parser of server-sent events in a stream that is split anywhere."""

import re

Event = tuple[str | None, bytes]  # its name, None where it has none, and its data
BARE = "{"  # name of a line of JSON between events, which the standard ignores, and some servers tell errors by

BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # may precede a stream, and belongs to no line
_DATA_LINE = re.compile(rb"(?:^|[\r\n])data:")
LINE_END = re.compile(rb"\r\n|\n|\r")


def has_events(body: bytes) -> bool:
    """Check whether a line of the body has the data of an event; a page may have `data:` within its lines."""
    return bool(_DATA_LINE.search(body.removeprefix(BYTE_ORDER_MARK)))


class Events:
    """A parser that takes the stream piece by piece, and returns each event with the piece that ends it."""

    def __init__(self) -> None:
        self._lines = _Lines()
        self._data: list[bytes] = []
        self._name: str | None = None

    @property
    def between(self) -> bool:
        """True if the next byte is the first of an event."""
        return not self._data and self._name is None and self._lines.at_start

    def feed(self, piece: bytes) -> list[Event]:
        """Return the events that end within the piece."""
        ended = []
        for line in self._lines.ended_by(piece):
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif line.startswith(b"event:"):
                self._name = line[6:].strip().decode("utf-8", "replace")
            elif not line:
                ended += self._take()
            elif line.startswith(b"{"):
                ended.append((BARE, line))
        return ended

    def end(self) -> list[Event]:
        """Return an event that the end of the stream truncated, complete or not."""
        if (line := self._lines.rest).startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        return [(BARE, line)] if line.startswith(b"{") else self._take()

    def _take(self) -> list[Event]:
        """Take the event that has ended; an event without data is none."""
        ended = [(self._name, b"\n".join(self._data))] if self._data else []
        self._data, self._name = [], None
        return ended


class _Lines:
    """Cuts pieces into lines; a piece without a line end is only stored, so the cost of an endless line is linear."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []  # of a line that has not ended
        self._after_cr = False

    @property
    def at_start(self) -> bool:
        return not self._begun and not self._after_cr

    @property
    def rest(self) -> bytes:
        return b"".join(self._begun).removeprefix(BYTE_ORDER_MARK)

    def ended_by(self, piece: bytes) -> list[bytes]:
        """Return the lines that end within the piece."""
        text = piece.removeprefix(b"\n") if self._after_cr else piece  # a CRLF that was cut in two is one line end
        self._after_cr = piece.endswith(b"\r") if piece else self._after_cr
        first, *others = LINE_END.split(text)
        if first:
            self._begun.append(first)
        if not others:
            return []
        *lines, rest = self.rest, *others
        self._begun = [rest] if rest else []
        return lines
