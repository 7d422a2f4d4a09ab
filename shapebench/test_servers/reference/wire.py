"""What is asked and what is answered, key for key in the form of vLLM 0.32."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import orjson

VERSION = "0.32.0"
MODEL = "metronome"
MOST_TOKENS = 1_000_000
_DEFAULT_TOKENS = 100
_WORD = " tick"
_FINGERPRINT = {"system_fingerprint": "metronome"}

_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_DONE = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


_GOES_ON: dict[str, Any] = {"finish_reason": None}
_ENDS: dict[str, Any] = {"finish_reason": "length", "stop_reason": None}


def _none(*keys: str) -> dict[str, Any]:
    return dict.fromkeys(keys)


def _chat_token(reason: dict[str, Any]) -> dict[str, Any]:
    return {"index": 0, "delta": {"content": _WORD}, "logprobs": None, **reason, "token_ids": None}


def _chat_choice(text: str) -> dict[str, Any]:
    nothing = _none("refusal", "annotations", "audio", "function_call", "reasoning")
    message = {"role": "assistant", "content": text} | nothing
    return {"index": 0, "message": message, "logprobs": None} | _ENDS | _none("token_ids", "routed_experts")


def _completion_token(reason: dict[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "text": _WORD, "logprobs": None} | reason
    return choice | _none("stop_reason", "prompt_token_ids", "token_ids")


def _completion_choice(text: str) -> dict[str, Any]:
    choice = {"index": 0, "text": text, "logprobs": None} | _ENDS
    return choice | _none("token_ids", "prompt_logprobs", "prompt_token_ids", "routed_experts")


@dataclass(frozen=True)
class Kind:
    """What tells the two generating routes apart."""

    id_prefix: str
    prompt_field: str
    whole_object: str
    chunk_object: str
    opening: dict[str, Any] | None  # the choice that goes out with the first token
    token: dict[str, Any]  # the choice of a token, and of the last one
    last: dict[str, Any]
    choice: Callable[[str], dict[str, Any]]  # of an answer that is not streamed, from its text
    after_usage: dict[str, Any]


CHAT = Kind(
    id_prefix="chatcmpl",
    prompt_field="messages",
    whole_object="chat.completion",
    chunk_object="chat.completion.chunk",
    opening={"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None} | _GOES_ON,
    token=_chat_token(_GOES_ON),
    last=_chat_token(_ENDS),
    choice=_chat_choice,
    after_usage=_none("prompt_logprobs", "prompt_token_ids", "prompt_text"),
)
COMPLETION = Kind(
    id_prefix="cmpl",
    prompt_field="prompt",
    whole_object="text_completion",
    chunk_object="text_completion",
    opening=None,
    token=_completion_token(_GOES_ON),
    last=_completion_token(_ENDS),
    choice=_completion_choice,
    after_usage={},
)
KINDS = {b"/v1/chat/completions": CHAT, b"/v1/completions": COMPLETION}


class Malformed(Exception):
    """A request that cannot be understood."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for tokens."""

    kind: Kind
    model: str
    prompt_tokens: int
    tokens: int
    stream: bool
    include_usage: bool


def asked(kind: Kind, body: bytes | bytearray) -> Asked:
    """The request that a body holds; raises Malformed."""
    try:
        return _asked(kind, orjson.loads(body))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Malformed(f"{type(error).__name__}: {error}") from None


def _asked(kind: Kind, body: dict[str, Any]) -> Asked:
    tokens = body.get("max_completion_tokens") or body.get("max_tokens", _DEFAULT_TOKENS)
    if not 1 <= tokens <= MOST_TOKENS:
        raise Malformed(f"max_tokens must be between 1 and {MOST_TOKENS}, got {tokens}.")
    return Asked(
        kind=kind,
        model=str(body.get("model", MODEL)),
        prompt_tokens=_words(body[kind.prompt_field]),
        tokens=int(tokens),
        stream=bool(body.get("stream")),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
    )


def _words(prompt: Any) -> int:
    """How many there are in a text, a list of token ids, or messages whose contents are texts or parts."""
    if isinstance(prompt, str):
        return len(prompt.split())
    if isinstance(prompt, list):
        return sum(map(_words, prompt))
    if isinstance(prompt, dict):
        return _words(prompt.get("content") or prompt.get("text") or "")
    return 1


class Answer:
    """The bytes of an answer, made once for all its tokens."""

    def __init__(self, ask: Asked, number: int) -> None:
        self.id = f"{ask.kind.id_prefix}-{number:016x}"
        self._ask = ask
        self._common = {"id": self.id, "object": ask.kind.chunk_object, "created": int(time.time()), "model": ask.model}

    def pieces(self) -> Iterator[bytes]:
        """The head, then what goes out with each token."""
        kind, more = self._ask.kind, self._ask.tokens - 1
        token, last = self._chunk([kind.token]), self._chunk([kind.last]) + self._closing()
        first = self._opening() + (token if more else last)
        return chain((_STREAM_HEAD, first), repeat(token, more - 1), (last,) * bool(more))

    def _chunk(self, choices: list[dict[str, Any]], **more: object) -> bytes:
        event = b"data: %b\n\n" % orjson.dumps(self._common | {"choices": choices} | more)
        return b"%x\r\n%b\r\n" % (len(event), event)

    def _opening(self) -> bytes:
        opening = self._ask.kind.opening
        return self._chunk([opening], prompt_token_ids=None, prompt_text=None) if opening else b""

    def _closing(self) -> bytes:
        return (self._chunk([], usage=self._usage(), **_FINGERPRINT) if self._ask.include_usage else b"") + _DONE

    def _usage(self) -> dict[str, int]:
        prompt, output = self._ask.prompt_tokens, self._ask.tokens
        return {"prompt_tokens": prompt, "total_tokens": prompt + output, "completion_tokens": output}

    def whole(self) -> bytes:
        """The answer that is not streamed, head and all."""
        kind = self._ask.kind
        return plain(
            self._common
            | {"object": kind.whole_object, "choices": [kind.choice(_WORD * self._ask.tokens)], "service_tier": None}
            | _FINGERPRINT
            | {"usage": self._usage() | _none("prompt_tokens_details", "completion_tokens_details")}
            | kind.after_usage
            | _none("kv_transfer_params", "ec_transfer_params", "metrics")
        )


def plain(content: dict[str, Any], status: bytes = b"200 OK") -> bytes:
    """An answer in JSON, head and all."""
    return framed(orjson.dumps(content), b"application/json", status)


def framed(body: bytes, content_type: bytes = b"text/plain; charset=utf-8", status: bytes = b"200 OK") -> bytes:
    """An answer of any type, head and all."""
    head = b"HTTP/1.1 %b\r\ncontent-length: %d\r\ncontent-type: %b\r\n\r\n"
    return head % (status, len(body), content_type) + body


def refusal(message: str) -> bytes:
    """The answer to what is malformed."""
    error = {"message": message, "type": "BadRequestError", "param": None, "code": 400}
    return plain({"error": error}, b"400 Bad Request")


def models(created_s: int) -> bytes:
    card = {"id": MODEL, "object": "model", "created": created_s, "owned_by": MODEL, "root": MODEL, "parent": None}
    return plain({"object": "list", "data": [card | {"max_model_len": MOST_TOKENS}]})


def metrics(requests: int) -> bytes:
    name = "metronome_requests_total"
    lines = f"# HELP {name} Requests for tokens that were received.", f"# TYPE {name} counter", f"{name} {requests}"
    return text("".join(f"{line}\n" for line in lines).encode())


def text(content: bytes) -> bytes:
    """As Prometheus scrapes it."""
    return framed(content, b"text/plain; version=0.0.4; charset=utf-8")


def not_found() -> bytes:
    return plain({"detail": "Not Found"}, b"404 Not Found")
