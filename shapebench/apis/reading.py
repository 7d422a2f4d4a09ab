"""The content of a streamed answer in the same terms for each API: tokens with their arrivals, and the usage."""

from dataclasses import dataclass, field

import orjson

MAX_TOKENS = 2**31 - 1  # what a column of the samples can hold
EXCERPT = 2000  # characters of what went wrong, in a message


class StreamError(Exception):
    """A stream that is not a complete answer; `kind` is the kind of failure."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message


@dataclass
class Reading:
    """The part of a streamed answer that has been read, which an error leaves in place."""

    arrivals_ns: list[int] = field(default_factory=list)  # of the chunks that carry tokens
    chunk_tokens: list[int] = field(default_factory=list)
    input_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str | None = None
    response_id: str | None = None
    fingerprint: str | None = None  # of the server's configuration
    done: bool = False  # the server said that the answer is complete
    counted_tokens: int = 0  # by running usage, the most so far
    counts_each_chunk: bool = True  # each with tokens had usage, which only then says how many

    @property
    def unaccounted_tokens(self) -> int | None:
        """The tokens that the server counted less those that its chunks carried; None where it did not count."""
        if self.output_tokens is None:
            return None
        return max(self.output_tokens - sum(self.chunk_tokens), -MAX_TOKENS)


def checked_count(count: object, name: str) -> int:
    """Return a token count of the server's usage; raises StreamError where it is none."""
    if not isinstance(count, int) or not 0 <= count <= MAX_TOKENS:
        raise StreamError("malformed", f"usage has no count of {name}: {count!r}"[:EXCERPT])
    return count


def error_text(body: bytes) -> str:
    """Find the message in an error body, in each of the forms that vLLM sends; else return the body itself."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return excerpt(body)
    if not isinstance(content, dict):
        return excerpt(body)
    error = content.get("error") or content.get("detail") or content
    return str(error.get("message", error) if isinstance(error, dict) else error)[:EXCERPT]


def excerpt(data: bytes) -> str:
    """Decode the beginning of what a server sent, for a message."""
    return data[:EXCERPT].decode("utf-8", "replace")
