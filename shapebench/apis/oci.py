"""OCI Generative AI's own chat, /20231130/actions/chat: the request says of which format the model is.

Formats are GENERIC (Llama, Grok, Gemini, gpt-oss), COHERE and COHEREV2. Its OpenAI-compatible endpoint is `chat`.
"""

from collections.abc import Callable

from shapebench.apis.api import Api, Json
from shapebench.apis.openai import join_texts, objects, parse_object, text_or_none
from shapebench.apis.reading import Reading, StreamError, checked_count, error_text
from shapebench.apis.sse import Event
from shapebench.apis.target import Target
from shapebench.apis.typed_events import known_counts, object_in, raise_if_error, text_in

DONE = b"[DONE]"
COMPARTMENT, FORMAT = "compartment", "api_format"  # options of the endpoint
DEDICATED = "ocid1.generativeaiendpoint."
FAILED = "ERROR"  # how the finish reasons of failures begin


def _read_event(reading: Reading, arrival_ns: int, event: Event) -> None:
    name, data = event
    for line in data.split(b"\n"):  # events that only one line end divides have been seen
        if line == DONE:
            reading.done = True
        elif content := parse_object(line):
            raise_if_error(name, content, line)
            _read_chunk(reading, arrival_ns, content, line)


def _read_chunk(reading: Reading, arrival_ns: int, content: Json, data: bytes) -> None:
    reason = text_or_none(content.get("finishReason"))
    if isinstance(content.get("message"), str) or (reason or "").startswith(FAILED):
        raise StreamError("stream_error", text_in(content, "errorMessage") or error_text(data))
    message = object_in(content, "message")
    answer = join_texts(objects(message.get("toolCalls"))) + _content(message, "text")
    reasoning = text_in(message, "reasoningContent") + _content(message, "thinking")
    if not reason:  # Cohere repeats the whole text at the end
        answer += text_in(content, "text")
    if answer or reasoning:
        reading.add_chunk(arrival_ns, answer or reasoning, is_reasoning=not answer)
    reading.finish_reason = reason or reading.finish_reason
    reading.done = reading.done or reason is not None  # only usage may follow, and not every model sends [DONE]
    if usage := object_in(content, "usage"):
        reading.add_usage(*_counts(usage))


def _content(message: Json, name: str) -> str:
    return "".join(text_in(part, name) for part in objects(message.get("content")))


def _counts(usage: Json) -> tuple[int | None, int | None, int | None]:
    return (
        checked_count(usage.get("promptTokens"), "promptTokens"),
        checked_count(usage.get("completionTokens"), "completionTokens"),
        checked_count(object_in(usage, "completionTokensDetails").get("reasoningTokens"), "reasoningTokens"),
    )


def _read_usage(answer: Json) -> tuple[int, int]:
    return known_counts(*_counts(object_in(object_in(answer, "chatResponse"), "usage"))[:2])


def _generic_prompt(prompt: str) -> Json:
    return {"messages": [{"role": "USER", "content": [{"type": "TEXT", "text": prompt}]}]}


def _cohere_prompt(prompt: str) -> Json:
    return {"message": prompt}


PROMPTS: dict[str, Callable[[str], Json]] = {
    "GENERIC": _generic_prompt,
    "COHERE": _cohere_prompt,
    "COHEREV2": _generic_prompt,
}


def _format(target: Target) -> str:
    """Return the format that the spec names, else the usual one of the model's maker."""
    usual = "COHERE" if target.model.startswith("cohere.") else "GENERIC"
    return target.auth_options.get(FORMAT, usual)


def _write_body(target: Target, prompt: str, output_tokens: int, stream: bool) -> Json:
    dedicated = target.model.startswith(DEDICATED)
    serving = {"servingType": "DEDICATED", "endpointId": target.model}
    on_demand = {"servingType": "ON_DEMAND", "modelId": target.model}
    streamed: Json = {"isStream": True, "streamOptions": {"isIncludeUsage": True}} if stream else {}
    api_format = _format(target)
    return {
        "compartmentId": target.auth_options.get(COMPARTMENT),
        "servingMode": serving if dedicated else on_demand,
        "chatRequest": {
            "apiFormat": api_format,
            **PROMPTS[api_format](prompt),
            "maxTokens": output_tokens,
            **({} if target.temperature is None else {"temperature": target.temperature}),
            **streamed,
        },
    }


OCI = Api(
    path="/20231130/actions/chat",
    last_event="finishReason",
    write_prompt=_generic_prompt,
    write_body=_write_body,
    read_event=_read_event,
    read_usage=_read_usage,
    auth="oci",
    needs=(COMPARTMENT,),
    choices={FORMAT: tuple(PROMPTS)},
    control_plane=False,
    can_enforce_length=False,
)
