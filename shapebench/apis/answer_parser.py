"""What an answer said: which chunk carried how many tokens and when, and what the server counted."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from shapebench.apis.chunk_interning import cut
from shapebench.apis.sse import Events, Piece

TEXT_FIELDS = ("content", "reasoning", "reasoning_content", "tool_calls", "refusal")
MOST_TOKENS = 2**31 - 1  # what a column of the samples can hold
EXCERPT = 2000  # characters of what went wrong, in a message


class StreamError(Exception):
    """The stream cannot be counted as an answer: `kind` is a word for it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message


@dataclass
class Reading:
    """Grows while a stream is read, so that a fault keeps what came before it."""

    arrivals_ns: list[int] = field(default_factory=list)  # of the chunks that carry tokens
    chunk_tokens: list[int] = field(default_factory=list)
    input_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str | None = None
    response_id: str | None = None
    fingerprint: str | None = None  # vLLM's system_fingerprint, of the chunk with the usage
    done: bool = False
    _counted: int = 0  # by running usage, the most so far
    _running: bool = True  # has every chunk with tokens had usage? Only then does it say how many a chunk carries

    @property
    def unaccounted_tokens(self) -> int | None:
        """What the server counted less what its chunks carried; None where it did not count."""
        if self.output_tokens is None:
            return None
        return max(self.output_tokens - sum(self.chunk_tokens), -MOST_TOKENS)

    def add(self, arrival_ns: int, chunk: dict[str, Any]) -> None:
        self.response_id = self.response_id or _text(chunk.get("id"))
        usage = chunk.get("usage")
        for choice in chunk.get("choices", ()):
            self.finish_reason = _text(choice.get("finish_reason")) or self.finish_reason
            if tokens := tokens_in(choice, usage if self._running else None, self._counted):
                self.arrivals_ns.append(arrival_ns)
                self.chunk_tokens.append(tokens)
                self._running = self._running and bool(usage)
        if usage:
            self.fingerprint = _text(chunk.get("system_fingerprint"))
            self.input_tokens = _count(usage, "prompt_tokens")
            self.output_tokens = _count(usage, "completion_tokens")
            self._counted = max(self._counted, self.output_tokens)


def tokens_in(choice: dict[str, Any], usage: dict[str, Any] | None, sum_so_far: int) -> int:
    """How many tokens a chunk carries: said by token ids or by running usage, else one where there is a text field.

    A text may be empty and still be a token: half a character, or a special token.
    """
    if choice.get("token_ids"):
        return len(choice["token_ids"])
    if usage:
        return max(_count(usage, "completion_tokens") - sum_so_far, 0)
    delta = choice.get("delta", choice)
    if delta.get("role") and not any(delta.get(name) for name in TEXT_FIELDS):
        return 0  # only opens the message
    return int("text" in delta or any(delta.get(name) is not None for name in TEXT_FIELDS))


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _count(usage: dict[str, Any], name: str) -> int:
    count = usage[name]
    if not isinstance(count, int) or not 0 <= count <= MOST_TOKENS:
        raise StreamError("malformed", f"usage has no count of {name}: {count!r}"[:EXCERPT])
    return count


def read(pieces: Iterable[Piece], reading: Reading) -> None:
    """Read a streamed answer into `reading`; raises StreamError where it is not a whole answer."""
    events, arrivals_ns, chunk_tokens = Events(), reading.arrivals_ns, reading.chunk_tokens
    usual: bytes | None = None  # a chunk of one token: when the same comes again, it stands for one like it
    arrival_ns, repeated = 0, None
    for arrival_ns, piece in pieces:
        if piece is repeated:
            arrivals_ns.append(arrival_ns)
            chunk_tokens.append(1)
            continue
        tokens_before = len(arrivals_ns)
        _add(arrival_ns, events.feed(piece), reading)
        if reading.done:
            break
        if chunk_tokens[tokens_before:] == [1] and cut(piece):
            usual = piece
        repeated = usual if events.between else None
    _add(arrival_ns, events.end(), reading)
    _check(reading)


def _add(arrival_ns: int, events: Iterable[bytes], reading: Reading) -> None:
    for data in events:
        if data == b"[DONE]":
            reading.done = True
        elif not reading.done:
            reading.add(arrival_ns, _chunk(data))


def _chunk(data: bytes) -> dict[str, Any]:
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise StreamError("malformed", f"not JSON ({error}): {_excerpt(data)}") from None
    if not isinstance(chunk, dict):
        raise StreamError("malformed", f"not an object: {_excerpt(data)}")
    if chunk.get("error") is not None:
        raise StreamError("stream_error", error_text(data))
    return chunk


def _check(reading: Reading) -> None:
    if not reading.done:
        raise StreamError("incomplete", "the stream ended without [DONE]")
    if not reading.arrivals_ns:
        raise StreamError("empty", "the answer carried no token")
    if reading.output_tokens is None:
        raise StreamError("no_usage", "the server sent no usage, so that its token counts are not known")


def error_text(body: bytes) -> str:
    """The message in an error body, in each of the forms that vLLM sends, or the body itself."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _excerpt(body)
    if not isinstance(content, dict):
        return _excerpt(body)
    error = content.get("error") or content.get("detail") or content
    return str(error.get("message", error) if isinstance(error, dict) else error)[:EXCERPT]


def _excerpt(data: bytes) -> str:
    return data[:EXCERPT].decode("utf-8", "replace")
