"""OpenAI's chat and completions, as vLLM and most other servers answer them."""

from collections.abc import Callable
from typing import TypedDict, cast

import orjson

from shapebench.apis.api import Api, Json
from shapebench.apis.reading import Reading, StreamError, checked_count, error_text, excerpt
from shapebench.apis.target import Target

DONE = b"[DONE]"
TEXT_FIELDS = ("content", "reasoning", "reasoning_content", "tool_calls", "refusal")

Usage = dict[str, object]


class Choice(TypedDict, total=False):
    """A choice of a chunk: a chat's has a delta, a completion's has its text next to the other fields."""

    finish_reason: object
    token_ids: list[int] | None
    delta: dict[str, object]


class Chunk(TypedDict, total=False):
    """An event of a streamed answer; nothing in it can be relied on to be there."""

    id: object
    choices: list[Choice]
    usage: Usage | None
    system_fingerprint: object


def _read_event(reading: Reading, arrival_ns: int, data: bytes) -> None:
    if data == DONE:
        reading.done = True
    elif not reading.done:
        _read_chunk(reading, arrival_ns, _parse_chunk(data))


def _parse_chunk(data: bytes) -> Chunk:
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise StreamError("malformed", f"not JSON ({error}): {excerpt(data)}") from None
    if not isinstance(chunk, dict):
        raise StreamError("malformed", f"not an object: {excerpt(data)}")
    if chunk.get("error") is not None:
        raise StreamError("stream_error", error_text(data))
    return cast("Chunk", chunk)


def _read_chunk(reading: Reading, arrival_ns: int, chunk: Chunk) -> None:
    reading.response_id = reading.response_id or _text(chunk.get("id"))
    usage = chunk.get("usage")
    for choice in chunk.get("choices", ()):
        reading.finish_reason = _text(choice.get("finish_reason")) or reading.finish_reason
        if tokens := count_tokens(choice, usage if reading.counts_each_chunk else None, reading.counted_tokens):
            reading.arrivals_ns.append(arrival_ns)
            reading.chunk_tokens.append(tokens)
            reading.counts_each_chunk = reading.counts_each_chunk and bool(usage)
    if usage:
        reading.fingerprint = _text(chunk.get("system_fingerprint"))
        reading.input_tokens = checked_count(usage["prompt_tokens"], "prompt_tokens")
        reading.output_tokens = checked_count(usage["completion_tokens"], "completion_tokens")
        reading.counted_tokens = max(reading.counted_tokens, reading.output_tokens)


def count_tokens(choice: Choice, usage: Usage | None, sum_so_far: int) -> int:
    """Count the tokens of a chunk by its token ids or by running usage, else one where there is a text field.

    A text may be empty and still be a token: half a character, or a special token.
    """
    if token_ids := choice.get("token_ids"):
        return len(token_ids)
    if usage:
        return max(checked_count(usage["completion_tokens"], "completion_tokens") - sum_so_far, 0)
    delta = choice.get("delta", choice)
    if delta.get("role") and not any(delta.get(name) for name in TEXT_FIELDS):
        return 0  # only opens the message
    return int("text" in delta or any(delta.get(name) is not None for name in TEXT_FIELDS))


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _read_usage(answer: Json) -> tuple[int, int]:
    """Read the usage; raises KeyError, TypeError or ValueError where there is none."""
    usage = answer["usage"]
    if not isinstance(usage, dict):
        raise TypeError(f"usage is {usage!r}")
    return int(usage["prompt_tokens"]), int(usage["completion_tokens"])


def _body_writer(write_prompt: Callable[[str], Json]) -> Callable[[Target, str, int, bool], Json]:
    def write_body(target: Target, prompt: str, output_tokens: int, stream: bool) -> Json:
        enforced: Json = {"min_tokens": output_tokens, "ignore_eos": True} if target.enforce_output_tokens else {}
        continuous = {"continuous_usage_stats": True} if target.continuous_usage else {}
        streamed: Json = {"stream": True, "stream_options": {"include_usage": True, **continuous}} if stream else {}
        return {
            "model": target.model,
            **write_prompt(prompt),
            "max_tokens": output_tokens,
            "temperature": target.temperature,
            **enforced,
            **streamed,
        }

    return write_body


def _chat_prompt(prompt: str) -> Json:
    return {"messages": [{"role": "user", "content": prompt}]}


def _completion_prompt(prompt: str) -> Json:
    return {"prompt": prompt}


def _entry(path: str, write_prompt: Callable[[str], Json]) -> Api:
    return Api(path, DONE.decode(), write_prompt, _body_writer(write_prompt), _read_event, _read_usage)


CHAT = _entry("/v1/chat/completions", _chat_prompt)
COMPLETIONS = _entry("/v1/completions", _completion_prompt)
