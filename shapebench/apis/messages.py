"""Anthropic's messages, also as vLLM and LiteLLM serve them."""

from collections.abc import Callable

from shapebench.apis.api import Api, Json
from shapebench.apis.openai import chat_prompt, parse_object, text_or_none
from shapebench.apis.reading import Reading, checked_count
from shapebench.apis.sse import Event
from shapebench.apis.target import Target
from shapebench.apis.typed_events import known_counts, object_in, raise_if_error, text_in

VERSION = "2023-06-01"
# Where each kind of delta has its text, and whether that is reasoning; a signature or a citation is made of no tokens.
DELTAS = {
    "text_delta": ("text", False),
    "thinking_delta": ("thinking", True),
    "input_json_delta": ("partial_json", False),
}
BLOCKS = {"text": ("text", False), "thinking": ("thinking", True), "tool_use": ("name", False)}
CACHED = ("cache_read_input_tokens", "cache_creation_input_tokens")  # input_tokens leaves them out


def _read_event(reading: Reading, arrival_ns: int, event: Event) -> None:
    name, data = event
    content = parse_object(data)
    raise_if_error(name, content, data)
    if read := _READERS.get(text_in(content, "type") or name or ""):
        read(reading, arrival_ns, content)


def _read_message_start(reading: Reading, _arrival_ns: int, content: Json) -> None:
    """Read the id and the input; the output that is counted here is that of the beginning."""
    message = object_in(content, "message")
    reading.response_id = text_or_none(message.get("id"))
    reading.add_usage(_input_tokens(object_in(message, "usage")), None)


def _read_block_start(reading: Reading, arrival_ns: int, content: Json) -> None:
    """Add what a block begins with: most begin empty, a call with the name of its tool."""
    block = object_in(content, "content_block")
    field, is_reasoning = BLOCKS.get(text_in(block, "type"), ("", False))
    if text := text_in(block, field):
        reading.add_chunk(arrival_ns, text, is_reasoning=is_reasoning)


def _read_block_delta(reading: Reading, arrival_ns: int, content: Json) -> None:
    delta = object_in(content, "delta")
    field, is_reasoning = DELTAS.get(text_in(delta, "type"), ("", False))
    if field in delta:
        reading.add_chunk(arrival_ns, text_in(delta, field), is_reasoning=is_reasoning)


def _read_message_delta(reading: Reading, _arrival_ns: int, content: Json) -> None:
    reading.finish_reason = text_or_none(object_in(content, "delta").get("stop_reason")) or reading.finish_reason
    usage = object_in(content, "usage")
    thinking = object_in(usage, "output_tokens_details").get("thinking_tokens")
    reading.add_usage(
        _input_tokens(usage),
        checked_count(usage.get("output_tokens"), "output_tokens"),
        checked_count(thinking, "thinking_tokens"),
    )


def _read_message_stop(reading: Reading, _arrival_ns: int, _content: Json) -> None:
    reading.done = True


_READERS: dict[str, Callable[[Reading, int, Json], None]] = {
    "message_start": _read_message_start,
    "content_block_start": _read_block_start,
    "content_block_delta": _read_block_delta,
    "message_delta": _read_message_delta,
    "message_stop": _read_message_stop,
}


def _input_tokens(usage: Json) -> int | None:
    """Sum the input tokens: those that were cached are counted apart; None where none are told."""
    new = checked_count(usage.get("input_tokens"), "input_tokens")
    if new is None:
        return None
    return new + sum(checked_count(usage.get(name), name) or 0 for name in CACHED)


def _read_usage(answer: Json) -> tuple[int, int]:
    usage = object_in(answer, "usage")
    return known_counts(_input_tokens(usage), checked_count(usage.get("output_tokens"), "output_tokens"))


def _write_body(target: Target, prompt: str, output_tokens: int, stream: bool) -> Json:
    """Write a request; there is no field that keeps an answer from ending early, not even for vLLM."""
    return {
        "model": target.model,
        **chat_prompt(prompt),
        "max_tokens": output_tokens,
        **({} if target.temperature is None else {"temperature": target.temperature}),
        **({"stream": True} if stream else {}),
    }


def _key_header(api_key: str) -> dict[str, str]:
    return {"x-api-key": api_key}


MESSAGES = Api(
    path="/v1/messages",
    last_event="message_stop",
    write_prompt=chat_prompt,
    write_body=_write_body,
    read_event=_read_event,
    read_usage=_read_usage,
    key_headers=_key_header,
    headers={"anthropic-version": VERSION},
    can_enforce_length=False,
)
