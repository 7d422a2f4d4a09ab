"""OpenAI's responses, also as vLLM serves them: events with a name each, whose data repeats it as `type`."""

from collections.abc import Callable

from shapebench.apis.api import Api, Json
from shapebench.apis.openai import chat_prompt, parse_object, text_or_none
from shapebench.apis.reading import Reading, StreamError, checked_count
from shapebench.apis.sse import Event
from shapebench.apis.target import Target
from shapebench.apis.typed_events import known_counts, object_in, raise_if_error, text_in

DELTA = ".delta"
FAILED = ("failed", "cancelled")
NO_TEXT = ("response.audio.delta",)  # sound, not tokens of text


def _read_event(reading: Reading, arrival_ns: int, event: Event) -> None:
    name, data = event
    if data == b"[DONE]":  # of gateways; OpenAI sends none
        reading.done = True
        return
    content = parse_object(data)
    raise_if_error(name, content, data)
    kind = text_in(content, "type") or name or ""
    if kind.endswith(DELTA):
        _read_delta(reading, arrival_ns, kind, content)
    elif read := _READERS.get(kind):
        read(reading, object_in(content, "response"))


def _read_delta(reading: Reading, arrival_ns: int, kind: str, content: Json) -> None:
    """Add a piece of the answer's text, of its reasoning, or of a call's arguments."""
    delta = content.get("delta")
    if isinstance(delta, str) and kind not in NO_TEXT:
        reading.add_chunk(arrival_ns, delta, is_reasoning="reasoning" in kind)


def _read_beginning(reading: Reading, response: Json) -> None:
    reading.response_id = text_or_none(response.get("id"))


def _read_end(reading: Reading, response: Json) -> None:
    """Read why the answer ended, and the usage; an answer that reached its limit is `incomplete`, which is no error."""
    status, reason = response.get("status"), object_in(response, "incomplete_details").get("reason")
    if status in FAILED:
        _raise_failure(reading, response)
    reading.finish_reason = text_or_none(reason or status)
    reading.response_id = reading.response_id or text_or_none(response.get("id"))
    reading.add_usage(*_counts(object_in(response, "usage")))
    reading.done = True


def _raise_failure(_reading: Reading, response: Json) -> None:
    error = object_in(response, "error")
    raise StreamError("stream_error", text_in(error, "message") or text_in(error, "code") or "the response failed")


_READERS: dict[str, Callable[[Reading, Json], None]] = {
    "response.created": _read_beginning,
    "response.completed": _read_end,
    "response.incomplete": _read_end,
    "response.failed": _raise_failure,
    "response.cancelled": _raise_failure,
}


def _counts(usage: Json) -> tuple[int | None, int | None, int | None]:
    """Return input, output and reasoning tokens; those that were cached are among the input."""
    return (
        checked_count(usage.get("input_tokens"), "input_tokens"),
        checked_count(usage.get("output_tokens"), "output_tokens"),
        checked_count(object_in(usage, "output_tokens_details").get("reasoning_tokens"), "reasoning_tokens"),
    )


def _read_usage(answer: Json) -> tuple[int, int]:
    return known_counts(*_counts(object_in(answer, "usage"))[:2])


def _write_body(target: Target, prompt: str, output_tokens: int, stream: bool) -> Json:
    """Write a request; vLLM takes ignore_eos here, which fixes the length with the limit, but no min_tokens."""
    return {
        "model": target.model,
        "input": prompt,
        "max_output_tokens": output_tokens,
        "store": False,  # or OpenAI keeps each answer for a month
        **({} if target.temperature is None else {"temperature": target.temperature}),
        **({"ignore_eos": True} if target.enforce_output_tokens else {}),
        **({"stream": True} if stream else {}),
    }


RESPONSES = Api(
    path="/v1/responses",
    last_event="response.completed",
    write_prompt=chat_prompt,
    write_body=_write_body,
    read_event=_read_event,
    read_usage=_read_usage,
)
