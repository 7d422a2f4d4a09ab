"""Vertex AI's streamGenerateContent, which the Gemini API has, too: each event is a whole response."""

import orjson

from shapebench.apis.api import Api, Json
from shapebench.apis.openai import objects, parse_object, text_or_none
from shapebench.apis.reading import Reading, StreamError, checked_count
from shapebench.apis.sse import Event
from shapebench.apis.target import Target
from shapebench.apis.typed_events import known_counts, object_in, raise_if_error, text_in


def _read_event(reading: Reading, arrival_ns: int, event: Event) -> None:
    name, data = event
    content = parse_object(data)
    raise_if_error(name, content, data)
    if reason := object_in(content, "promptFeedback").get("blockReason"):
        raise StreamError("stream_error", f"the prompt was blocked: {reason}")
    reading.response_id = reading.response_id or text_or_none(content.get("responseId"))
    reading.fingerprint = text_or_none(content.get("modelVersion")) or reading.fingerprint
    for candidate in objects(content.get("candidates")):
        for part in objects(object_in(candidate, "content").get("parts")):
            _read_part(reading, arrival_ns, part)
        reading.finish_reason = text_or_none(candidate.get("finishReason")) or reading.finish_reason
    if "usageMetadata" in content:
        reading.add_usage(*_counts(content))
    reading.done = reading.finish_reason is not None  # nothing else ends the stream


def _read_part(reading: Reading, arrival_ns: int, part: Json) -> None:
    """Add a part's text; the arguments of a call are an object, which arrives at once."""
    if "text" in part:
        reading.add_chunk(arrival_ns, text_in(part, "text"), is_reasoning=bool(part.get("thought")))
    elif call := object_in(part, "functionCall"):
        reading.add_chunk(arrival_ns, orjson.dumps(call).decode())


def _counts(content: Json) -> tuple[int | None, int | None, int | None]:
    """Return input, output and reasoning tokens; thoughts are output that the candidates' count leaves out."""
    usage = object_in(content, "usageMetadata")
    prompt, candidates, thoughts = (
        checked_count(usage.get(name), name)
        for name in ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    )
    output = None if candidates is None and thoughts is None else (candidates or 0) + (thoughts or 0)
    return prompt, output, thoughts


def _read_usage(answer: Json) -> tuple[int, int]:
    return known_counts(*_counts(answer)[:2])


def _write_prompt(prompt: str) -> Json:
    return {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}


def _write_body(target: Target, prompt: str, output_tokens: int, _stream: bool) -> Json:
    temperature: Json = {} if target.temperature is None else {"temperature": target.temperature}
    return {**_write_prompt(prompt), "generationConfig": {"maxOutputTokens": output_tokens, **temperature}}


def _key_header(api_key: str) -> dict[str, str]:
    return {"x-goog-api-key": api_key}


VERTEX = Api(
    path="/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:streamGenerateContent?alt=sse",
    last_event="finishReason",
    write_prompt=_write_prompt,
    write_body=_write_body,
    read_event=_read_event,
    read_usage=_read_usage,
    key_headers=_key_header,
    auth="google",
    control_plane=False,
    can_enforce_length=False,
)
