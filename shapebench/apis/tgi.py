"""Hugging Face's Text Generation Inference, /generate_stream: an event for each token, and details in the last."""

from shapebench.apis.api import Api, Json
from shapebench.apis.openai import parse_object, text_or_none
from shapebench.apis.reading import Reading, checked_count
from shapebench.apis.sse import Event
from shapebench.apis.target import Target
from shapebench.apis.typed_events import known_counts, object_in, raise_if_error, text_in


def _read_event(reading: Reading, arrival_ns: int, event: Event) -> None:
    name, data = event
    content = parse_object(data)
    raise_if_error(name, content, data)
    read_token(reading, arrival_ns, content)


def read_token(reading: Reading, arrival_ns: int, content: Json) -> None:
    """Read the event of a token; the last has the complete text, too, and the counts in `details`."""
    if "token" in content:
        reading.add_chunk(arrival_ns, text_in(object_in(content, "token"), "text"), tokens=1)
    details = object_in(content, "details")
    if reason := details.get("finish_reason"):
        reading.finish_reason = text_or_none(reason)
        reading.add_usage(
            checked_count(details.get("input_length"), "input_length"),
            checked_count(details.get("generated_tokens"), "generated_tokens"),
        )
    if content.get("generated_text") is not None:
        reading.done = True


def _read_usage(answer: Json) -> tuple[int, int]:
    """Read the usage of an answer in one piece."""
    details = object_in(answer, "details")
    return known_counts(
        checked_count(details.get("input_length"), "input_length"),
        checked_count(details.get("generated_tokens"), "generated_tokens"),
    )


def _write_prompt(prompt: str) -> Json:
    return {"inputs": prompt}


def write_body(target: Target, prompt: str, output_tokens: int, _stream: bool) -> Json:
    """Write a request; a temperature of 0, which TGI refuses, is greedy decoding."""
    sampled: Json = {"do_sample": True, "temperature": target.temperature} if target.temperature else {}
    greedy: Json = {"do_sample": False} if target.temperature == 0 else {}
    return {
        **_write_prompt(prompt),
        "parameters": {"max_new_tokens": output_tokens, "details": True, **sampled, **greedy},
    }


TGI = Api(
    path="/generate_stream",
    last_event="generated_text",
    write_prompt=_write_prompt,
    write_body=write_body,
    read_event=_read_event,
    read_usage=_read_usage,
    can_enforce_length=False,
)
