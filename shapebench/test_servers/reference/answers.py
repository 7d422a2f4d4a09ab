"""Parsed requests for tokens, and answers as bytes, whose events are formatted once."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, repeat

import orjson

from shapebench.test_servers import vllm_format
from shapebench.test_servers.vllm_format import DONE, FORMATS, AnswerFormat, Json

MODEL = "metronome"
MAX_TOKENS = 1_000_000
_DEFAULT_TOKENS = 100
_WORD, _WORD_JSON = " tick", '" tick"'
_FINGERPRINT = "metronome"

_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class MalformedRequestError(Exception):
    """A request that cannot be understood."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request for tokens."""

    format: type[AnswerFormat]
    model: str
    prompt_tokens: int
    tokens: int
    stream: bool
    include_usage: bool


def format_at(path: bytes) -> type[AnswerFormat] | None:
    """Find the format of a route that generates tokens; None for any other route."""
    return FORMATS.get(path.decode("latin-1"))


def parse_request(format_: type[AnswerFormat], body: bytes | bytearray) -> TokenRequest:
    """Read a request from its body; raises MalformedRequestError."""
    try:
        return _parse(format_, orjson.loads(body))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MalformedRequestError(f"{type(error).__name__}: {error}") from None


def _parse(format_: type[AnswerFormat], body: Json) -> TokenRequest:
    tokens = body.get("max_completion_tokens") or body.get("max_tokens", _DEFAULT_TOKENS)
    if not 1 <= tokens <= MAX_TOKENS:
        raise MalformedRequestError(f"max_tokens must be between 1 and {MAX_TOKENS}, got {tokens}.")
    return TokenRequest(
        format=format_,
        model=str(body.get("model", MODEL)),
        prompt_tokens=_count_words(body[format_.prompt_field]),
        tokens=int(tokens),
        stream=bool(body.get("stream")),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
    )


def _count_words(prompt: object) -> int:
    """Count the words in a text, a list of token ids, or messages whose contents are texts or parts."""
    if isinstance(prompt, str):
        return len(prompt.split())
    if isinstance(prompt, list):
        return sum(map(_count_words, prompt))
    if isinstance(prompt, dict):
        return _count_words(prompt.get("content") or prompt.get("text") or "")
    return 1


class Answer:
    """The bytes of an answer, made once for all its tokens."""

    def __init__(self, request: TokenRequest, number: int) -> None:
        self._request = request
        self._format = request.format(f"{number:016x}", request.model, _FINGERPRINT)
        self._usage = vllm_format.usage(request.prompt_tokens, request.tokens)
        self.id = self._format.id

    def pieces(self) -> Iterator[bytes]:
        """Write the head, then the bytes of each token; all but the first and the last token are the same object."""
        more = self._request.tokens - 1
        token = _chunk(self._format.token(_WORD_JSON))
        last = _chunk(self._format.token(_WORD_JSON, finish_reason="length")) + self._closing()
        opening = self._format.opening()
        first = (_chunk(opening) if opening else b"") + (token if more else last)
        return chain((_STREAM_HEAD, first), repeat(token, more - 1), (last,) * bool(more))

    def _closing(self) -> bytes:
        usage = _chunk(self._format.usage_event(orjson.dumps(self._usage).decode()))
        return (usage if self._request.include_usage else b"") + _chunk(DONE) + b"0\r\n\r\n"

    def whole(self) -> bytes:
        """Write the answer that is not streamed, head and all."""
        return framed(self._format.whole(_WORD * self._request.tokens, "length", self._usage), _JSON)


_JSON = b"application/json"


def _chunk(event: str) -> bytes:
    """Frame an event as a chunk of HTTP's chunked encoding."""
    data = event.encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


def framed(body: bytes, content_type: bytes = b"text/plain; charset=utf-8", status: bytes = b"200 OK") -> bytes:
    """Put the head before a body."""
    head = b"HTTP/1.1 %b\r\ncontent-length: %d\r\ncontent-type: %b\r\n\r\n"
    return head % (status, len(body), content_type) + body


def framed_json(content: Json, status: bytes = b"200 OK") -> bytes:
    """Write an answer in JSON, head and all."""
    return framed(orjson.dumps(content), _JSON, status)


def refusal(message: str) -> bytes:
    """Write the answer to a malformed request."""
    return framed_json(vllm_format.error(message, "BadRequestError", None, 400), b"400 Bad Request")


def models() -> bytes:
    """Write the answer of /v1/models."""
    return framed_json(vllm_format.model_list(MODEL, MAX_TOKENS, int(time.time()), owned_by=MODEL))


def metrics(requests: int) -> bytes:
    """Write the count of requests as Prometheus scrapes it."""
    name = "metronome_requests_total"
    lines = f"# HELP {name} Requests for tokens that were received.", f"# TYPE {name} counter", f"{name} {requests}"
    return prometheus_text("".join(f"{line}\n" for line in lines).encode())


def prometheus_text(content: bytes) -> bytes:
    """Write a page of metrics, head and all."""
    return framed(content, b"text/plain; version=0.0.4; charset=utf-8")


def not_found() -> bytes:
    """Write the answer for a route that does not exist."""
    return framed_json({"detail": "Not Found"}, b"404 Not Found")
