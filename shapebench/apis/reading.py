"""The content of a streamed answer in the same terms for each API: tokens with their arrivals, and the usage."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import orjson

from shapebench.apis.token_counts import TokenCounts, apportion, count_tokens_of_chunks, growth_of

TokenSource = Literal["usage", "tokenize", "tokenizer", "chunks"]

MAX_TOKENS = 2**31 - 1  # what a column of the samples can hold
SAID = ("error", "detail", "errors", "message", "error_msg", "error_message", "msg")  # where errors have their words
EXCERPT = 2000  # characters of what went wrong, in a message


class StreamError(Exception):
    """A stream that is not a complete answer; `kind` is the kind of failure."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message


@dataclass
class Reading:
    """The part of a streamed answer that has been read, which an error leaves in place.

    APIs call `add_chunk` and `add_usage`; `resolve` then tells how many tokens each chunk carries.
    """

    keeps_text: bool = False
    arrivals_ns: list[int] = field(default_factory=list)  # of chunks; after `resolve`, of those that carry tokens
    text_bytes: list[int] = field(default_factory=list)  # of each chunk
    chunk_tokens: list[int] = field(default_factory=list)  # by `resolve`
    token_counts: TokenCounts = "unknown"
    token_source: TokenSource = "usage"
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    first_answer_ns: int | None = None  # arrival of the first text that is not reasoning
    finish_reason: str | None = None
    response_id: str | None = None
    fingerprint: str | None = None  # of the server's configuration
    done: bool = False  # the server said that the answer is complete
    text_chunks: int = 0  # chunks with text, by `resolve`
    usage_ends: bool = False  # usage came after the last text, by `resolve`
    texts: list[str] = field(default_factory=list)  # only if `keeps_text`
    _event_begins: int = field(default=0, compare=False)  # the number of chunks before the event
    _usage_at: int | None = None  # the number of chunks before usage without text
    _usage_finishes: bool = False  # the last usage in a chunk with text came with the finish reason, or later
    _carried: int | None = None  # tokens, by the chunks alone
    _first_answer: int | None = None  # index of its chunk
    _reasoning_chunks: int = 0
    _empty_answers: set[int] = field(default_factory=set)  # indices of chunks with an empty text that is not reasoning
    _stated: dict[int, int] = field(default_factory=dict)
    _running: dict[int, int] = field(default_factory=dict)

    def begin_event(self) -> None:
        self._event_begins = len(self.arrivals_ns)

    def add_chunk(self, arrival_ns: int, text: str, *, is_reasoning: bool = False, tokens: int | None = None) -> None:
        """Add a chunk with text, which may be empty; `tokens` where the chunk says how many it carries."""
        index = len(self.arrivals_ns)
        if is_reasoning:
            self._reasoning_chunks += 1
        elif text and self._first_answer is None:
            self._first_answer, self.first_answer_ns = index, arrival_ns
        elif not text:
            self._empty_answers.add(index)
        if tokens:
            self._stated[index] = tokens
        self.arrivals_ns.append(arrival_ns)
        self.text_bytes.append(len(text.encode("utf-8", "surrogatepass")))
        if self.keeps_text:
            self.texts.append(text)

    def add_usage(
        self, input_tokens: int | None, output_tokens: int | None, reasoning_tokens: int | None = None
    ) -> None:
        """Add the usage so far or at the end, after the chunks of the same event; None and 0 tell nothing."""
        self.input_tokens = input_tokens or self.input_tokens
        self.output_tokens = output_tokens or self.output_tokens
        self.reasoning_tokens = self.reasoning_tokens if reasoning_tokens is None else reasoning_tokens
        if self.adds_chunks:
            last = len(self.arrivals_ns) - 1
            self._running[last] = output_tokens or 0
            self._usage_at = last if output_tokens and not self.text_bytes[last] else self._usage_at
            self._usage_finishes = self.finish_reason is not None
        else:
            self._usage_at = len(self.arrivals_ns) if output_tokens else None

    @property
    def adds_chunks(self) -> bool:
        """True if the event that is being read has added chunks."""
        return len(self.arrivals_ns) > self._event_begins

    @property
    def text(self) -> str:
        """The whole text, in which halves of characters are joined."""
        text = "".join(self.texts)
        return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    @property
    def has_reasoning(self) -> bool:
        return bool(self._reasoning_chunks)

    @property
    def unaccounted_tokens(self) -> int | None:
        """The tokens that the server counted less those that its chunks carried; None where it did not count."""
        if self.output_tokens is None or self._carried is None:
            return None
        return max(self.output_tokens - self._carried, -MAX_TOKENS)

    def resolve(self) -> None:
        """Find the tokens of each chunk, once all has been read; chunks without tokens are dropped."""
        self.usage_ends = self._usage_at is not None and not any(self.text_bytes[self._usage_at :])
        if not self._is_usage_final():
            self.output_tokens = None
        self.text_chunks = len(self.text_bytes) - self.text_bytes.count(0)
        hidden = self._count_hidden()
        total = self.output_tokens - hidden if self.output_tokens else self.output_tokens
        tokens, self.token_counts = count_tokens_of_chunks(
            self.text_bytes,
            self._stated,
            {index: max(count - hidden, 0) for index, count in self._running.items()},
            total,
            opens_without_token=self._opens_without_token(),
        )
        self._carried = sum(tokens) + hidden
        if total and self.token_counts == "apportioned":
            tokens = self._apportion_reasoning(total) or tokens
            self._carried = (self.text_chunks or len(tokens)) + hidden
        if self.has_reasoning and not self.reasoning_tokens:
            self.reasoning_tokens = self._count_reasoning(tokens)
        if hidden:
            tokens[next((index for index, count in enumerate(tokens) if count), 0)] += hidden
        if 0 in tokens:
            self._drop_empty(tokens)
        else:
            self.chunk_tokens = tokens

    def recount(self, output_tokens: int, source: TokenSource) -> None:
        """Resolve again, with the tokens that another than the server has counted in the text."""
        self.output_tokens, self.token_source = output_tokens, source
        self.reasoning_tokens, self._running, self._stated = None, {}, {}  # of the server
        self.resolve()

    @property
    def has_running_usage(self) -> bool:
        """True if chunks with text came with usage."""
        return bool(self._running)

    def _is_usage_final(self) -> bool:
        """Check whether the last usage counts the whole answer: one that is told with each text may lag behind it."""
        counts = [*self._running.values()]
        if self.usage_ends or len(counts) <= 1 or len({*counts}) == 1:
            return True
        if self._usage_finishes and counts.count(0) == len(counts) - 1:
            return True
        return growth_of(self.text_bytes, self._running, None) is not None

    def _opens_without_token(self) -> bool:
        """Check whether the text keeps waiting after the first chunk, which is empty: that came before prefill ended.

        There may be as many chunks as tokens all the same, where another chunk holds two.
        """
        if not self.text_bytes or self.text_bytes[0]:
            return False
        first = next((index for index, length in enumerate(self.text_bytes) if length), 0)
        later = self.arrivals_ns[first:]
        longest_ns = max((after - before for before, after in pairwise(later)), default=0)
        return self.arrivals_ns[first] - self.arrivals_ns[0] > longest_ns

    def _count_hidden(self) -> int:
        """Count the tokens that were thought and not sent; they count with the first chunk, before which they came."""
        total, thought = self.output_tokens or 0, self.reasoning_tokens or 0
        chunks = len(self.text_bytes)
        left_out = total in (chunks, self.text_chunks)  # some servers count it apart
        return thought if chunks and thought < total and not (left_out or self.has_reasoning) else 0

    def _count_reasoning(self, tokens: list[int]) -> int:
        """Count the tokens of the chunks before the answer, which an empty text, half a character, may begin."""
        answer = len(tokens) if self._first_answer is None else self._first_answer
        while answer - 1 in self._empty_answers:
            answer -= 1
        return sum(tokens[:answer])

    def _apportion_reasoning(self, total: int) -> list[int] | None:
        """Divide the tokens of the reasoning among its chunks, and the others among those of the answer."""
        begin, thought = self._first_answer, self.reasoning_tokens
        if not (begin and thought and thought < total and any(self.text_bytes[:begin])):
            return None
        return apportion(self.text_bytes[:begin], thought) + apportion(self.text_bytes[begin:], total - thought)

    def _drop_empty(self, tokens: list[int]) -> None:
        """Drop chunks without a token, except for the last text, with which the last token ends."""
        last = max((index for index, length in enumerate(self.text_bytes) if length), default=-1)
        kept = [index for index, count in enumerate(tokens) if count or index == last]
        self.arrivals_ns = [self.arrivals_ns[index] for index in kept]
        self.text_bytes = [self.text_bytes[index] for index in kept]
        self.chunk_tokens = [tokens[index] for index in kept]
        if self._first_answer is not None:
            self._first_answer = sum(index < self._first_answer for index in kept)


def checked_count(count: object, name: str) -> int | None:
    """Return a token count of the server's usage, None where it is missing; raises StreamError where it is no count."""
    if count is None:
        return None
    if isinstance(count, bool) or not isinstance(count, int | float) or count != count // 1:
        raise StreamError("malformed", f"usage has no count of {name}: {count!r}"[:EXCERPT])
    if not 0 <= count <= MAX_TOKENS:
        raise StreamError("malformed", f"usage has no count of {name}: {count!r}"[:EXCERPT])
    return int(count)


def is_error(body: bytes) -> bool:
    """Check whether a text is the JSON of an error, in one of the forms that `error_text` knows."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    said = isinstance(content, dict) and not content.get("choices")
    return said and any(content.get(name) for name in SAID)


def error_text(body: bytes) -> str:
    """Find the message in an error body, in each of the forms that vLLM sends; else return the body itself."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return excerpt(body)
    if isinstance(content, list) and content and isinstance(content[0], dict):  # Google's, where it is not streamed
        content = content[0]
    if not isinstance(content, dict):
        return excerpt(body)
    error = content.get("error") or content.get("detail") or content.get("errors") or content
    if isinstance(error, list) and error and isinstance(error[0], dict) and "message" in error[0]:
        error = error[0]
    if isinstance(error, dict):
        error = next(filter(None, map(error.get, ("message", "Message", *SAID))), error)
    return str(error)[:EXCERPT]


def excerpt(data: bytes) -> str:
    """Decode the beginning of what a server sent, for a message."""
    return data[:EXCERPT].decode("utf-8", "replace")
