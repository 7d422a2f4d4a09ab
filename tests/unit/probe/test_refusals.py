"""Which field does a server refuse? In the words of real servers."""

import json
from typing import Any

import pytest

from shapebench.probe.refusals import read_refusal

BODY: dict[str, object] = {
    "model": "meta-llama/Llama-3.2-3B-Instruct",
    "messages": [{"role": "user", "content": "tell me"}],
    "max_tokens": 16,
    "temperature": 0,
    "min_tokens": 16,
    "ignore_eos": True,
    "stream": True,
    "stream_options": {"include_usage": True, "continuous_usage_stats": True},
}


def openai(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


def fastapi(*loc: str) -> dict[str, Any]:
    return {"detail": [{"type": "extra_forbidden", "loc": ["body", *loc], "msg": "Extra inputs are not permitted"}]}


@pytest.mark.parametrize(
    ("said", "field"),
    [
        (openai("Unknown parameter: 'stream_options'.", param="stream_options"), "stream_options"),
        (openai("Unrecognized request argument supplied: stream_options", param=""), "stream_options"),
        (openai("Unrecognized request arguments supplied: ignore_eos, min_tokens"), "ignore_eos"),
        (openai("property 'stream_options' is unsupported, did you mean 'stream'?"), "stream_options"),
        (openai("Unsupported value: 'temperature' does not support 0 with this model."), "temperature"),
        (openai("litellm.UnsupportedParamsError: m does not support parameters: ['min_tokens']"), "min_tokens"),
        (openai("Unknown name: include_usage", param="stream_options.include_usage"), "stream_options.include_usage"),
        (fastapi("stream_options"), "stream_options"),
        (fastapi("stream_options", "continuous_usage_stats"), "stream_options.continuous_usage_stats"),
        (fastapi("ChatCompletionRequest", "ignore_eos"), "ignore_eos"),
        ({"object": "error", "message": "[{'loc': ('body', 'ignore_eos'), 'msg': 'Extra inputs'}]"}, "ignore_eos"),
        ({"detail": "Unexpected keys in the request: {'min_tokens'}"}, "min_tokens"),
        ("unknown field `ignore_eos`, expected one of `model`, `messages`, `temperature`, `stream`", "ignore_eos"),
        ("stream_options: invalid type: map, expected unit at line 1 column 24", "stream_options"),
        ([openai('Invalid JSON payload received. Unknown name "ignore_eos": Cannot find field.')], "ignore_eos"),
        (openai("Unsupported value: 'stream' does not support true with this model.", param="stream"), "stream"),
    ],
)
def test_the_refused_field_is_found_in_each_form_of_message(said: Any, field: str) -> None:
    assert read_refusal(said.encode() if isinstance(said, str) else json.dumps(said).encode(), BODY).field == field


@pytest.mark.parametrize(
    "said",
    [
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "max_tokens is gone: use the max_completion_tokens parameter instead",
        "'max_tokens' is deprecated, instead use max_completion_tokens",
    ],
)
def test_another_name_that_the_server_wants_is_taken_from_its_words(said: str) -> None:
    refusal = read_refusal(json.dumps(openai(said, param="max_tokens")).encode(), BODY)
    assert (refusal.field, refusal.instead) == ("max_tokens", "max_completion_tokens")


@pytest.mark.parametrize(
    ("said", "topic"),
    [
        ("This model's maximum context length is 8 tokens; max_tokens is too large", "context"),
        ("The model `m` does not exist.", "model"),
        ("prompt is too long: 212000 tokens > 200000 maximum", "context"),
        ("unknown model: m", "model"),
        ("m is not a valid model ID", "model"),
        ("models/m is not found for API version v1main", "model"),
        ("The provided model identifier is invalid.", "model"),
        ("missing query parameter api-version", "query"),
        ("Missing required header: opc-compartment-id", "header"),
        ("bad luck", None),
    ],
)
def test_what_only_the_user_can_correct_is_no_matter_of_a_field(said: str, topic: str | None) -> None:
    refusal = read_refusal(json.dumps(openai(said)).encode(), BODY)
    assert (refusal.field in (None, "model"), refusal.topic) == (True, topic)


def test_the_header_that_a_server_asks_for_is_named() -> None:
    assert read_refusal(b"Missing required header: opc-compartment-id", BODY).header == "opc-compartment-id"


def test_a_message_about_nothing_that_was_sent_names_no_field() -> None:
    assert read_refusal(b"<html>Bad Request</html>", BODY).field is None
