"""Amazon Bedrock's Converse API, streamed: an AWS event stream whose events are JSON."""

from collections.abc import Callable

from shapebench.apis.api import Api, Json
from shapebench.apis.event_stream import EventStream
from shapebench.apis.openai import parse_object, text_or_none
from shapebench.apis.reading import Reading, checked_count
from shapebench.apis.sse import Event
from shapebench.apis.target import Target
from shapebench.apis.typed_events import known_counts, object_in, raise_if_error, text_in

CACHED = ("cacheReadInputTokens", "cacheWriteInputTokens")  # inputTokens leaves them out


def _read_event(reading: Reading, arrival_ns: int, event: Event) -> None:
    name, data = event
    content = parse_object(data)
    raise_if_error(name, content, data)
    if read := _READERS.get(name or ""):
        read(reading, arrival_ns, content)


def _read_block_start(reading: Reading, arrival_ns: int, content: Json) -> None:
    """Add the name of a tool that is called; other blocks begin without a text."""
    if name := text_in(object_in(object_in(content, "start"), "toolUse"), "name"):
        reading.add_chunk(arrival_ns, name)


def _read_block_delta(reading: Reading, arrival_ns: int, content: Json) -> None:
    """Add the text of a delta: of the answer, of a call's input, or of the reasoning, whose signature is no token."""
    delta = object_in(content, "delta")
    reasoning = object_in(delta, "reasoningContent")
    if "text" in delta or "toolUse" in delta:
        reading.add_chunk(arrival_ns, text_in(delta, "text") or text_in(object_in(delta, "toolUse"), "input"))
    elif "text" in reasoning:
        reading.add_chunk(arrival_ns, text_in(reasoning, "text"), is_reasoning=True)


def _read_message_stop(reading: Reading, _arrival_ns: int, content: Json) -> None:
    reading.finish_reason = text_or_none(content.get("stopReason"))


def _read_metadata(reading: Reading, _arrival_ns: int, content: Json) -> None:
    reading.add_usage(*_counts(object_in(content, "usage")))
    reading.done = True


_READERS: dict[str, Callable[[Reading, int, Json], None]] = {
    "contentBlockStart": _read_block_start,
    "contentBlockDelta": _read_block_delta,
    "messageStop": _read_message_stop,
    "metadata": _read_metadata,
}


def _counts(usage: Json) -> tuple[int | None, int | None]:
    new = checked_count(usage.get("inputTokens"), "inputTokens")
    cached = sum(checked_count(usage.get(name), name) or 0 for name in CACHED)
    output = checked_count(usage.get("outputTokens"), "outputTokens")
    return None if new is None else new + cached, output


def _read_usage(answer: Json) -> tuple[int, int]:
    return known_counts(*_counts(object_in(answer, "usage")))


def _write_prompt(prompt: str) -> Json:
    return {"messages": [{"role": "user", "content": [{"text": prompt}]}]}


def _write_body(target: Target, prompt: str, output_tokens: int, _stream: bool) -> Json:
    temperature: Json = {} if target.temperature is None else {"temperature": target.temperature}
    return {**_write_prompt(prompt), "inferenceConfig": {"maxTokens": output_tokens, **temperature}}


BEDROCK = Api(
    path="/model/{model}/converse-stream",
    last_event="metadata",
    write_prompt=_write_prompt,
    write_body=_write_body,
    read_event=_read_event,
    read_usage=_read_usage,
    framing=EventStream,
    headers={"Accept": "application/vnd.amazon.eventstream"},
    auth="aws",
    service="bedrock",
    control_plane=False,
    can_enforce_length=False,
)
