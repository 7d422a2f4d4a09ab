"""OpenAI's chat and completions, as vLLM and most other servers answer them."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress

import orjson

from shapebench.apis.api import Api, Json
from shapebench.apis.reading import EXCERPT, SAID, Reading, StreamError, checked_count, error_text, excerpt
from shapebench.apis.sse import Event
from shapebench.apis.target import Target

DONE = b"[DONE]"
ANSWER_FIELDS = ("content", "text", "refusal", "tool_calls", "function_call")
REASONING_FIELDS = ("reasoning_content", "reasoning", "reasoning_details")  # often the same text under two names
REASONING_PARTS = ("thinking", "reasoning")  # types of parts of the content
TEXT_PARTS = ("text", "content", "thinking", "summary", "name", "arguments", "function")  # of a list of parts
FAILURES = {  # finish reasons of answers that are not whole: vLLM and SGLang, TensorRT-LLM, Zhipu, DeepSeek
    reason: f"the finish reason is {reason}"
    for reason in ("error", "abort", "cancelled", "timeout", "network_error", "insufficient_system_resource")
}


def _read_event(reading: Reading, arrival_ns: int, event: Event) -> None:
    name, data = event
    if data.strip() == DONE:
        reading.done = True
    elif reading.done:
        with suppress(StreamError, AttributeError):  # only usage may come late
            late = parse_object(data)
            _add_usage(reading, late, late.get("usage"))
    elif name == "error":
        raise StreamError("stream_error", error_text(data))
    elif chunk := parse_object(data):
        raise_if_error(name, chunk, data)
        _read_chunk(reading, arrival_ns, chunk)


def parse_object(data: bytes) -> Json:
    """Parse an event's data; empty for nothing, null, or a gateway's [DONE]. Raises StreamError if it is no object."""
    try:
        content = None if data.strip() in (b"", DONE) else _loads(data)
    except ValueError as error:
        raise StreamError("malformed", f"not JSON ({error}): {excerpt(data)}") from None
    if content is not None and not isinstance(content, dict):
        raise StreamError("malformed", f"not an object: {excerpt(data)}")
    return content or {}


def _loads(data: bytes) -> object:
    """Parse JSON, also with halves of characters, into which some gateways cut texts, and which orjson refuses."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        if b"\\ud" not in data.lower():
            raise
        parsed: object = json.loads(data)
        return parsed


def raise_if_error(name: str | None, content: Json, data: bytes) -> None:
    """Raise StreamError with the server's words if the event is an error, in whatever form."""
    is_success = bool(content.get("choices")) or content.get("code") in (0, "0")
    message_only = not is_success and any(content.get(key) for key in SAID)
    if name == "error" or content.get("error") or content.get("object") == "error" or message_only:
        raise StreamError("stream_error", error_text(data))


def _read_chunk(reading: Reading, arrival_ns: int, chunk: Json) -> None:
    reading.response_id = reading.response_id or text_or_none(chunk.get("id"))
    usage = chunk.get("usage")
    for choice in objects(chunk.get("choices")):
        reading.finish_reason = text_or_none(choice.get("finish_reason")) or reading.finish_reason
        _read_choice(reading, arrival_ns, choice)
        if error := choice.get("error") or FAILURES.get(reading.finish_reason or ""):
            raise StreamError("stream_error", error_text(orjson.dumps({"error": error})))
        usage = usage or choice.get("usage")  # Moonshot's
    if isinstance(groq := chunk.get("x_groq"), dict):
        if error := groq.get("error"):
            raise StreamError("stream_error", str(error)[:EXCERPT])
        usage = usage or groq.get("usage")
    _add_usage(reading, chunk, usage)


def _read_choice(reading: Reading, arrival_ns: int, choice: Json) -> None:
    """Add the text of a choice: a chat's is in its delta, a completion's next to the other fields.

    A text may be empty and still be a token: half a character, or a special token.
    """
    content = choice.get("delta") or choice
    delta = _split_parts(content) if isinstance(content, dict) else {}
    answer = "".join([join_texts(value) for name in ANSWER_FIELDS if (value := delta.get(name))])
    thoughts = (join_texts(value) for name in REASONING_FIELDS if (value := delta.get(name)))
    reasoning = "" if answer else next(filter(None, thoughts), "")
    if not (answer or reasoning):
        has_text = any(delta.get(name) is not None for name in (*ANSWER_FIELDS, *REASONING_FIELDS))
        if not has_text or delta.get("role"):
            return  # an end without a text, or a chunk that only opens the message
    token_ids = choice.get("token_ids")
    reading.add_chunk(
        arrival_ns,
        answer or reasoning,
        is_reasoning=not answer and (bool(reasoning) or all(delta.get(name) is None for name in ANSWER_FIELDS)),
        tokens=len(token_ids) if isinstance(token_ids, list) else None,
    )


def _split_parts(delta: Json) -> Json:
    """Take the reasoning out of a content that is a list of parts, as Mistral's and Databricks' is."""
    parts = delta.get("content")
    if not isinstance(parts, list):
        return delta
    thoughts = [part for part in objects(parts) if part.get("type") in REASONING_PARTS]
    answer = [part for part in parts if part not in thoughts]
    return {**delta, "content": answer or None, "reasoning": thoughts} if thoughts else delta


def _add_usage(reading: Reading, chunk: Json, usage: object) -> None:
    if not usage or not isinstance(usage, dict):
        return
    reading.fingerprint = text_or_none(chunk.get("system_fingerprint"))
    reading.add_usage(*_counts(usage))


def _counts(usage: Json) -> tuple[int | None, int | None, int | None]:
    """Read the tokens of prompt and output, and those of the output that are reasoning.

    Some servers count cached or reasoning tokens only beside these and in the total.
    """
    prompt, output, total = (
        checked_count(usage.get(name), name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    )
    cached = _detail(usage, "prompt_tokens_details", "cached_tokens")
    reasoning = _detail(usage, "completion_tokens_details", "reasoning_tokens")
    if prompt is not None and output is not None and total and (left_out := total - prompt - output):
        if left_out == reasoning:
            output += left_out
        elif left_out == cached:
            prompt += left_out
    return prompt, output, reasoning


def _detail(usage: Json, details: str, name: str) -> int | None:
    found = usage.get(details)
    return checked_count(found.get(name), name) if isinstance(found, dict) else None


def join_texts(value: object) -> str:
    """Join the texts of a field: a text, or parts of a message or of tool calls that hold texts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(join_texts, value))
    if isinstance(value, dict):
        return "".join(join_texts(value.get(name)) for name in TEXT_PARTS)
    return ""


def objects(value: object) -> Iterable[Json]:
    """Return the objects of a list; none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text_or_none(value: object) -> str | None:
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
            **({} if target.temperature is None else {"temperature": target.temperature}),
            **enforced,
            **streamed,
        }

    return write_body


def chat_prompt(prompt: str) -> Json:
    return {"messages": [{"role": "user", "content": prompt}]}


def _completion_prompt(prompt: str) -> Json:
    return {"prompt": prompt}


def _entry(path: str, write_prompt: Callable[[str], Json]) -> Api:
    return Api(path, DONE.decode(), write_prompt, _body_writer(write_prompt), _read_event, _read_usage)


CHAT = _entry("/v1/chat/completions", chat_prompt)
COMPLETIONS = _entry("/v1/completions", _completion_prompt)
