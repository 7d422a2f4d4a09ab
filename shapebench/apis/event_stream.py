"""AWS event streams: binary frames of headers and a payload, each with checksums.

A frame is the lengths of itself and of its headers, their checksum, the headers, the payload, and the checksum of all.
"""

import struct
import zlib
from collections.abc import Callable, Iterator

import orjson

from shapebench.apis.reading import StreamError
from shapebench.apis.sse import Event, Events

PRELUDE = struct.Struct(">III")
CHECKSUM = struct.Struct(">I")
MAX_FRAME_BYTES = 24 << 20  # more is no frame
MAX_HEADER_BYTES = 128 << 10

# The size of a header's value by its type; those of types 6 and 7 are preceded by their length.
VALUE_BYTES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
LENGTH = struct.Struct(">H")


class EventStream:
    """A parser that takes the stream piece by piece; an event has the name of its type, and "error" if it is one."""

    def __init__(self) -> None:
        self._pending = bytearray()

    @property
    def between(self) -> bool:
        """True if the next byte is the first of a frame."""
        return not self._pending

    def feed(self, piece: bytes) -> list[Event]:
        """Return the events that end within the piece; raises StreamError where it is no event stream."""
        self._pending += piece
        return list(self._frames())

    def end(self) -> list[Event]:
        """Return nothing: a frame that the end of the stream truncated cannot be read."""
        return []

    def _frames(self) -> Iterator[Event]:
        while len(self._pending) >= PRELUDE.size:
            total, headers, checksum = PRELUDE.unpack_from(self._pending)
            if checksum != zlib.crc32(self._pending[:8]) or not _is_plausible(total, headers):
                raise StreamError("malformed", "the answer is not an AWS event stream")
            if len(self._pending) < total:
                return
            frame = bytes(self._pending[:total])
            del self._pending[:total]
            yield _parse(frame, headers)


def _is_plausible(total: int, headers: int) -> bool:
    return headers <= MAX_HEADER_BYTES and PRELUDE.size + headers + CHECKSUM.size <= total <= MAX_FRAME_BYTES


def _parse(frame: bytes, headers_bytes: int) -> Event:
    if CHECKSUM.unpack(frame[-4:])[0] != zlib.crc32(frame[:-4]):
        raise StreamError("malformed", "an event's checksum is wrong")
    begin = PRELUDE.size + headers_bytes
    headers, payload = dict(_headers(frame[PRELUDE.size : begin])), frame[begin:-4]
    if headers.get(":message-type", "event") == "event":
        return headers.get(":event-type"), payload
    kind = headers.get(":exception-type") or headers.get(":error-code") or "error"
    message = headers.get(":error-message") or _message(payload)
    return "error", orjson.dumps({"message": f"{kind}: {message}" if message else kind})


def _message(payload: bytes) -> str:
    """Read the message of an exception, whose fields differ in the case of their names."""
    try:
        content = orjson.loads(payload)
        fields = {name.lower(): value for name, value in content.items()}
    except (orjson.JSONDecodeError, AttributeError):
        return payload.decode("utf-8", "replace")
    return str(fields.get("message") or fields.get("originalmessage") or "")


def _headers(block: bytes) -> Iterator[tuple[str, str]]:
    """Yield the headers that are texts, which all that are needed are."""
    position = 0
    try:
        while position < len(block):
            begin = position + 1 + block[position]
            name, kind = block[position + 1 : begin].decode(), block[begin]
            position = begin + 1
            if kind in VALUE_BYTES:
                position += VALUE_BYTES[kind]
                continue
            (length,) = LENGTH.unpack_from(block, position)
            position += LENGTH.size + length
            yield name, block[position - length : position].decode()
    except (IndexError, struct.error, UnicodeDecodeError):
        raise StreamError("malformed", "an event's headers cannot be read") from None


class JsonLines:
    """A parser of JSON objects on a line each."""

    def __init__(self) -> None:
        self._begun = b""

    @property
    def between(self) -> bool:
        """True if the next byte is the first of a line."""
        return not self._begun

    def feed(self, piece: bytes) -> list[Event]:
        """Return the lines that end within the piece."""
        *lines, self._begun = (self._begun + piece).split(b"\n")
        return [(None, line) for line in lines if line.strip()]

    def end(self) -> list[Event]:
        """Return the last line, if nothing ended it."""
        line, self._begun = self._begun, b""
        return [(None, line)] if line.strip() else []


class PayloadParts:
    """A parser of the stream of a container, server-sent events or JSON lines, in the parts of an AWS event stream."""

    def __init__(self) -> None:
        self._frames = EventStream()
        self._inner: Events | JsonLines | None = None

    @property
    def between(self) -> bool:
        """True if the next byte is the first of a frame, and the next of its container the first of an event."""
        return self._frames.between and (self._inner is None or self._inner.between)

    def feed(self, piece: bytes) -> list[Event]:
        """Return the container's events that end within the piece, and errors of the service itself."""
        return [event for frame in self._frames.feed(piece) for event in self._unpack(frame)]

    def end(self) -> list[Event]:
        """Return the container's event that the end of the stream truncated."""
        return self._inner.end() if self._inner else []

    def _unpack(self, frame: Event) -> list[Event]:
        name, payload = frame
        if name == "error":
            return [frame]
        if self._inner is None and payload.strip():
            self._inner = _FRAMINGS.get(payload.lstrip()[:1], Events)()
        return self._inner.feed(payload) if self._inner else []


_FRAMINGS: dict[bytes, Callable[[], JsonLines]] = {b"{": JsonLines}
