"""Reader of streamed answers of any API; interned chunks are counted without being parsed again."""

from collections.abc import Iterable

from shapebench.apis.api import Api
from shapebench.apis.chunk_interning import cut
from shapebench.apis.reading import Reading, StreamError, error_text, is_error
from shapebench.apis.sse import BARE, Event

Piece = tuple[int, bytes, int]  # arrival (ns), the bytes, and how many they were before they were interned


def read(api: Api, pieces: Iterable[Piece], reading: Reading) -> None:
    """Read a streamed answer into `reading`; raises StreamError if it is not a complete answer."""
    try:
        _read_events(api, pieces, reading)
    finally:
        reading.resolve()
    if not (reading.done or reading.finish_reason or reading.usage_ends):
        raise StreamError("incomplete", f"the stream ended without {api.last_event}")
    if not reading.arrivals_ns:
        raise StreamError("empty", "the answer contained no token")


def _read_events(api: Api, pieces: Iterable[Piece], reading: Reading) -> None:
    framing, arrivals_ns, text_bytes = api.framing(), reading.arrivals_ns, reading.text_bytes
    usual: bytes | None = None  # an interned chunk with a text: a repetition is another chunk with another text
    arrival_ns, repeated, other_bytes = 0, None, 0
    for arrival_ns, piece, length in pieces:
        if piece is repeated:
            arrivals_ns.append(arrival_ns)
            text_bytes.append(length - other_bytes)
            continue
        before = len(text_bytes)
        for event in framing.feed(piece):
            _read_event(api, reading, arrival_ns, event)
        if len(text_bytes) == before + 1 and text_bytes[-1]:
            text_bytes[-1] += length - len(piece)
            if cut(piece):
                usual, other_bytes = piece, length - text_bytes[-1]
        repeated = usual if framing.between and not reading.done else None
    for event in framing.end():
        _read_event(api, reading, arrival_ns, event)


def _read_event(api: Api, reading: Reading, arrival_ns: int, event: Event) -> None:
    name, data = event
    if name == BARE:  # only an error counts: an answer that is not streamed is none
        if is_error(data):
            raise StreamError("stream_error", error_text(data))
        return
    reading.begin_event()
    api.read_event(reading, arrival_ns, event)
