"""What vLLM's answers look like, key for key."""

import random
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar, NamedTuple

import orjson

from shapebench.test_servers.simulator.presets import Preset
from shapebench.test_servers.simulator.requests import Asked
from shapebench.test_servers.simulator.tokenizer import EOS, Piece, pieces, token_id, token_ids

VERSION = "0.32.0"
_NATURAL_TOKENS = 512  # an answer whose length is not set ends by itself before it gets longer than this
# Short words, each one token.
_WORDS = [
    str(piece)
    for piece in pieces(
        " the of and to in is that it was for on are as with his they at be this from have or by one had not but what"
        " all were when we can said use an each she do how if will up out many then them so some her like him into has"
        " two more go see no way my than who its now did get come made may part over new take only work know year live"
        " me back give most very just good name say help line turn much mean same tell set want air well also play end"
        " put home read hand port even land here must big high such act why ask men went kind off need try us"
    )
]


class Output(NamedTuple):
    """The tokens of an answer, and why it ends after them."""

    tokens: list[str]
    finish_reason: str


def draw(asked: Asked, limit: int, preset: Preset) -> Output:
    """An answer of at most `limit` tokens; of just as many where the request fixes the length."""
    if asked.ignore_eos or asked.min_tokens == limit:
        return Output(_words(limit, preset.empty_text_share), "length")
    least = max(asked.min_tokens, 1)
    count = random.randint(least, max(min(limit, _NATURAL_TOKENS), least))
    words = _words(count, preset.empty_text_share)
    return Output(words, "length") if count == limit else Output([*words[:-1], EOS], "stop")


def _words(count: int, empty_text_share: float) -> list[str]:
    start = random.randrange(len(_WORDS))
    words = [_WORDS[index % len(_WORDS)] for index in range(start, start + count)]
    if empty_text_share:
        return ["" if random.random() < empty_text_share else word for word in words]
    return words


@cache
def fingerprint(preset: Preset) -> str:
    """Changes with the server's configuration."""
    return f"vllm-{VERSION}-{zlib.crc32(repr(preset).encode()):08x}"


def models(preset: Preset, created_s: int) -> dict[str, Any]:
    """The list at /v1/models."""
    allowed = {"create_engine": False, "sampling": True, "logprobs": True, "search_indices": False}
    permission = {
        "id": f"modelperm-{zlib.crc32(preset.model.encode()):016x}",
        "object": "model_permission",
        "created": created_s,
        **{f"allow_{what}": may for what, may in (allowed | {"view": True, "fine_tuning": False}).items()},
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    card = {"id": preset.model, "object": "model", "created": created_s, "owned_by": "vllm", "root": preset.model}
    more = {"parent": None, "max_model_len": preset.max_model_len, "permission": [permission]}
    return {"object": "list", "data": [card | more]}


def text_of(token: str) -> str:
    return "" if token == EOS else token


@cache
def _json_text(token: str) -> str:
    return orjson.dumps(text_of(token)).decode()


class Answer(ABC):
    """All of an answer, known before its first token is due; the engine says when each goes out."""

    prefix: ClassVar[str]
    whole_object: ClassVar[str]
    chunk_object: ClassVar[str]

    def __init__(self, name: str, asked: Asked, prompt: Sequence[Piece], output: Output, preset: Preset) -> None:
        self.id = f"{self.prefix}-{name}"
        self.prompt, self._asked, self._preset = prompt, asked, preset
        self.tokens, self.finish_reason = output
        self._prompt_tokens = len(prompt)
        self._created_s = int(time.time())
        common = {"id": self.id, "object": self.chunk_object, "created": self._created_s, "model": preset.model}
        self._head = "data: " + orjson.dumps(common).decode().removesuffix("}") + ',"choices":['

    def chunks(self, start: int, end: int) -> bytes:
        """The events of tokens `start` to `end`; a chat's opening goes out with its first token."""
        opening = self._opening() if start == 0 else ""
        return (opening + "".join([self._chunk(index) for index in range(start, end)])).encode()

    def closing(self) -> bytes:
        """The events after the last token."""
        total = f'],"usage":{self._usage(len(self.tokens))},"system_fingerprint":"{fingerprint(self._preset)}"}}\n\n'
        return ((self._head + total if self._asked.usage_at_end else "") + "data: [DONE]\n\n").encode()

    def whole(self) -> bytes:
        """The answer as one JSON object."""
        return orjson.dumps(
            {"id": self.id, "object": self.whole_object, "created": self._created_s, "model": self._preset.model}
            | {"choices": [self._choice()], "service_tier": None, "system_fingerprint": fingerprint(self._preset)}
            | {
                "usage": orjson.loads(
                    self._usage(len(self.tokens), ("prompt_tokens_details", "completion_tokens_details"))
                )
            }
            | self._after_usage()
            | {"kv_transfer_params": None, "ec_transfer_params": None, "metrics": None}
        )

    @abstractmethod
    def _opening(self) -> str: ...

    @abstractmethod
    def _chunk(self, index: int) -> str: ...

    @abstractmethod
    def _choice(self) -> dict[str, Any]: ...

    @abstractmethod
    def _after_usage(self) -> dict[str, Any]: ...

    @property
    def _content(self) -> str:
        return "".join(map(text_of, self.tokens))

    def _is_last(self, index: int) -> bool:
        return index == len(self.tokens) - 1

    def _ids(self, tokens: Sequence[Piece]) -> list[int] | None:
        return token_ids(tokens) if self._asked.return_token_ids else None

    def _ids_json(self, tokens: Sequence[Piece]) -> str:
        return orjson.dumps(self._ids(tokens)).decode()

    def _text_json(self, index: int) -> str:
        return _json_text(self.tokens[index])

    def _id_json(self, index: int) -> str:
        return f"[{token_id(self.tokens[index])}]" if self._asked.return_token_ids else "null"

    def _usage(self, output_tokens: int, details: Sequence[str] = ()) -> str:
        counts = {"prompt_tokens": self._prompt_tokens, "total_tokens": self._prompt_tokens + output_tokens}
        return orjson.dumps(counts | {"completion_tokens": output_tokens} | dict.fromkeys(details)).decode()

    def _running_usage(self, output_tokens: int) -> str:
        if not self._asked.usage_in_chunks:
            return ""
        return f',"usage":{self._usage(output_tokens, ("completion_tokens_details",))}'


class ChatAnswer(Answer):
    prefix, whole_object, chunk_object = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def _opening(self) -> str:
        delta = '{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]'
        ids = f',"prompt_token_ids":{self._ids_json(self.prompt)},"prompt_text":null}}\n\n'
        return self._head + delta + self._running_usage(0) + ids

    def _chunk(self, index: int) -> str:
        finish = f'"{self.finish_reason}","stop_reason":null' if self._is_last(index) else "null"
        return (
            f'{self._head}{{"index":0,"delta":{{"content":{self._text_json(index)}}},"logprobs":null,'
            f'"finish_reason":{finish},"token_ids":{self._id_json(index)}}}]{self._running_usage(index + 1)}}}\n\n'
        )

    def _choice(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": self._content}
        nothing = dict.fromkeys(("refusal", "annotations", "audio", "function_call", "reasoning"))
        ends = {"logprobs": None, "finish_reason": self.finish_reason, "stop_reason": None}
        ids = {"token_ids": self._ids(self.tokens), "routed_experts": None}
        return {"index": 0, "message": message | nothing} | ends | ids

    def _after_usage(self) -> dict[str, Any]:
        return {"prompt_logprobs": None, "prompt_token_ids": self._ids(self.prompt), "prompt_text": None}


class CompletionAnswer(Answer):
    prefix, whole_object, chunk_object = "cmpl", "text_completion", "text_completion"

    def _opening(self) -> str:
        return ""

    def _chunk(self, index: int) -> str:
        finish = f'"{self.finish_reason}"' if self._is_last(index) else "null"
        prompt_ids = "null" if index else self._ids_json(self.prompt)
        return (
            f'{self._head}{{"index":0,"text":{self._text_json(index)},"logprobs":null,"finish_reason":{finish},'
            f'"stop_reason":null,"prompt_token_ids":{prompt_ids},"token_ids":{self._id_json(index)}}}]'
            f"{self._running_usage(index + 1)}}}\n\n"
        )

    def _choice(self) -> dict[str, Any]:
        ends = {"logprobs": None, "finish_reason": self.finish_reason, "stop_reason": None}
        ids = {"token_ids": self._ids(self.tokens), "prompt_logprobs": None}
        return (
            {"index": 0, "text": self._content}
            | ends
            | ids
            | {
                "prompt_token_ids": self._ids(self.prompt),
                "routed_experts": None,
            }
        )

    def _after_usage(self) -> dict[str, Any]:
        return {}
