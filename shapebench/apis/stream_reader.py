"""Reader of streamed answers of any API; interned chunks are counted without being parsed again."""

from collections.abc import Iterable

from shapebench.apis.api import Api
from shapebench.apis.chunk_interning import cut
from shapebench.apis.reading import Reading, StreamError
from shapebench.apis.sse import Events, Piece


def read(api: Api, pieces: Iterable[Piece], reading: Reading) -> None:
    """Read a streamed answer into `reading`; raises StreamError if it is not a complete answer."""
    events, arrivals_ns, chunk_tokens = Events(), reading.arrivals_ns, reading.chunk_tokens
    usual: bytes | None = None  # an interned chunk of one token: a repetition is another chunk of one token
    arrival_ns, repeated = 0, None
    for arrival_ns, piece in pieces:
        if piece is repeated:
            arrivals_ns.append(arrival_ns)
            chunk_tokens.append(1)
            continue
        tokens_before = len(arrivals_ns)
        for data in events.feed(piece):
            api.read_event(reading, arrival_ns, data)
        if reading.done:
            break
        if chunk_tokens[tokens_before:] == [1] and cut(piece):
            usual = piece
        repeated = usual if events.between else None
    for data in events.end():
        api.read_event(reading, arrival_ns, data)
    if not reading.done:
        raise StreamError("incomplete", f"the stream ended without {api.last_event}")
    if not reading.arrivals_ns:
        raise StreamError("empty", "the answer contained no token")
    if reading.output_tokens is None:
        raise StreamError("no_usage", "the server sent no usage, so token counts are unknown")
