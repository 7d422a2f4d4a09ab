"""vLLM's JSON, with the keys of recorded answers of version 0.32; both test servers use this module."""

import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import orjson

VERSION = "0.32.0"
DONE = "data: [DONE]\n\n"
NULL = "null"

Json = dict[str, Any]  # an object as orjson writes it


class AnswerFormat(ABC):
    """One answer of a generating API: its events if streamed, else one object.

    Arguments named `…_json` are JSON text already, since a server writes them once for many tokens.
    """

    path: ClassVar[str]
    prompt_field: ClassVar[str]
    id_prefix: ClassVar[str]
    whole_object: ClassVar[str]
    chunk_object: ClassVar[str]

    def __init__(self, name: str, model: str, fingerprint: str) -> None:
        self.id = f"{self.id_prefix}-{name}"
        self._created_s, self._model, self._fingerprint = int(time.time()), model, fingerprint
        self._head = f"data: {orjson.dumps(self._common(self.chunk_object)).decode()[:-1]}" + ',"choices":['

    @abstractmethod
    def opening(self, prompt_ids_json: str = NULL, usage_json: str = "") -> str:
        """Write the event without a token that precedes the first token; empty if there is none."""

    @abstractmethod
    def token(
        self,
        text_json: str,
        finish_reason: str = "",
        token_ids_json: str = NULL,
        prompt_ids_json: str = NULL,
        usage_json: str = "",
    ) -> str:
        """Write the event of a token; the last one has a `finish_reason`, continuous usage a `usage_json`."""

    def usage_event(self, usage_json: str) -> str:
        """Write the event with the usage, which comes after the last token."""
        fingerprint_json = orjson.dumps(self._fingerprint).decode()
        return f'{self._head}],"usage":{usage_json},"system_fingerprint":{fingerprint_json}}}\n\n'

    def whole(
        self,
        text: str,
        finish_reason: str,
        usage: Json,
        token_ids: Sequence[int] | None = None,
        prompt_ids: Sequence[int] | None = None,
    ) -> bytes:
        """Write an answer that is not streamed; `usage` is the final one."""
        ends = {"logprobs": None, "finish_reason": finish_reason, "stop_reason": None, "token_ids": token_ids}
        return orjson.dumps(
            self._common(self.whole_object)
            | {"choices": [self._choice(text, ends, prompt_ids)]}
            | {"service_tier": None, "system_fingerprint": self._fingerprint}
            | {"usage": usage | _none("prompt_tokens_details", "completion_tokens_details")}
            | self._after_usage(prompt_ids)
            | _none("kv_transfer_params", "ec_transfer_params", "metrics")
        )

    def _common(self, object_: str) -> Json:
        return {"id": self.id, "object": object_, "created": self._created_s, "model": self._model}

    @abstractmethod
    def _choice(self, text: str, ends: Json, prompt_ids: Sequence[int] | None) -> Json: ...

    @abstractmethod
    def _after_usage(self, prompt_ids: Sequence[int] | None) -> Json: ...


class ChatFormat(AnswerFormat):
    """An answer of /v1/chat/completions."""

    path, prompt_field = "/v1/chat/completions", "messages"
    id_prefix, whole_object, chunk_object = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def opening(self, prompt_ids_json: str = NULL, usage_json: str = "") -> str:
        delta = '{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]'
        ids = f',"prompt_token_ids":{prompt_ids_json},"prompt_text":null}}\n\n'
        return self._head + delta + _usage_field(usage_json) + ids

    def token(
        self,
        text_json: str,
        finish_reason: str = "",
        token_ids_json: str = NULL,
        prompt_ids_json: str = NULL,  # noqa: ARG002 - the opening has them
        usage_json: str = "",
    ) -> str:
        finish_json = f'"{finish_reason}","stop_reason":null' if finish_reason else NULL
        return (
            f'{self._head}{{"index":0,"delta":{{"content":{text_json}}},"logprobs":null,'
            f'"finish_reason":{finish_json},"token_ids":{token_ids_json}}}]{_usage_field(usage_json)}}}\n\n'
        )

    def _choice(self, text: str, ends: Json, prompt_ids: Sequence[int] | None) -> Json:  # noqa: ARG002 - after the usage
        nothing = _none("refusal", "annotations", "audio", "function_call", "reasoning")
        message = {"role": "assistant", "content": text} | nothing
        return {"index": 0, "message": message} | ends | {"routed_experts": None}

    def _after_usage(self, prompt_ids: Sequence[int] | None) -> Json:
        return {"prompt_logprobs": None, "prompt_token_ids": prompt_ids, "prompt_text": None}


class CompletionFormat(AnswerFormat):
    """An answer of /v1/completions."""

    path, prompt_field = "/v1/completions", "prompt"
    id_prefix, whole_object, chunk_object = "cmpl", "text_completion", "text_completion"

    def opening(self, prompt_ids_json: str = NULL, usage_json: str = "") -> str:  # noqa: ARG002 - there is none
        return ""

    def token(
        self,
        text_json: str,
        finish_reason: str = "",
        token_ids_json: str = NULL,
        prompt_ids_json: str = NULL,
        usage_json: str = "",
    ) -> str:
        finish_json = f'"{finish_reason}"' if finish_reason else NULL
        return (
            f'{self._head}{{"index":0,"text":{text_json},"logprobs":null,"finish_reason":{finish_json},'
            f'"stop_reason":null,"prompt_token_ids":{prompt_ids_json},"token_ids":{token_ids_json}}}]'
            f"{_usage_field(usage_json)}}}\n\n"
        )

    def _choice(self, text: str, ends: Json, prompt_ids: Sequence[int] | None) -> Json:
        more = {"prompt_logprobs": None, "prompt_token_ids": prompt_ids, "routed_experts": None}
        return {"index": 0, "text": text} | ends | more

    def _after_usage(self, prompt_ids: Sequence[int] | None) -> Json:  # noqa: ARG002 - its choice has them
        return {}


FORMATS: dict[str, type[AnswerFormat]] = {format_.path: format_ for format_ in (ChatFormat, CompletionFormat)}


def usage(prompt_tokens: int, output_tokens: int) -> Json:
    """Count the tokens of an answer in vLLM's fields."""
    total = prompt_tokens + output_tokens
    return {"prompt_tokens": prompt_tokens, "total_tokens": total, "completion_tokens": output_tokens}


def error(message: str, kind: str, field: str | None, code: int) -> Json:
    """Build the body of a refusal."""
    return {"error": {"message": message, "type": kind, "param": field, "code": code}}


def model_list(model: str, max_model_len: int, created_s: int, owned_by: str = "vllm") -> Json:
    """Build the list at /v1/models."""
    allowed = {"create_engine": False, "sampling": True, "logprobs": True, "search_indices": False}
    permission = {
        "id": f"modelperm-{zlib.crc32(model.encode()):016x}",
        "object": "model_permission",
        "created": created_s,
        **{f"allow_{what}": may for what, may in (allowed | {"view": True, "fine_tuning": False}).items()},
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    card = {"id": model, "object": "model", "created": created_s, "owned_by": owned_by, "root": model}
    more = {"parent": None, "max_model_len": max_model_len, "permission": [permission]}
    return {"object": "list", "data": [card | more]}


def _usage_field(usage_json: str) -> str:
    return f',"usage":{usage_json}' if usage_json else ""


def _none(*keys: str) -> Json:
    return dict.fromkeys(keys)
