"""Requests as each API wants them: path, headers, body."""

from dataclasses import replace
from typing import Any, get_args

import orjson
import pytest

from shapebench.apis.auth import AUTH
from shapebench.apis.request_body import build_body, request_url, request_writer
from shapebench.apis.table import APIS
from shapebench.apis.target import AuthName, Credentials, PlannedRequest, Target

TARGET = Target(url="http://h", model="m", api="chat", auth="key", temperature=0.5)
PLANNED = PlannedRequest(index=0, warmup=False, prompt="Hi there", input_tokens=2, output_tokens=3)
CHAT = {"messages": [{"role": "user", "content": "Hi there"}]}
PARTS = {"role": "user", "parts": [{"text": "Hi there"}]}
GENERIC = {"messages": [{"role": "USER", "content": [{"type": "TEXT", "text": "Hi there"}]}]}
USAGE = {"isStream": True, "streamOptions": {"isIncludeUsage": True}}
OPTIONS = {"compartment": "ocid1.compartment.oc1..x", "project": "p", "location": "europe-west4"}
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
VERTEX = "/v1/projects/p/locations/europe-west4/publishers/google/models/m:streamGenerateContent?alt=sse"
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "responses": (
        "/v1/responses",
        {"model": "m", "input": "Hi there", "max_output_tokens": 3, "temperature": 0.5, "store": False, "stream": True},
    ),
    "messages": ("/v1/messages", {"model": "m", **CHAT, "max_tokens": 3, "temperature": 0.5, "stream": True}),
    "tgi": (
        "/generate_stream",
        {
            "inputs": "Hi there",
            "parameters": {"max_new_tokens": 3, "details": True, "do_sample": True, "temperature": 0.5},
        },
    ),
    "oci": (
        "/20231130/actions/chat",
        {
            "compartmentId": OPTIONS["compartment"],
            "servingMode": {"servingType": "ON_DEMAND", "modelId": "m"},
            "chatRequest": {"apiFormat": "GENERIC", **GENERIC, "maxTokens": 3, "temperature": 0.5, **USAGE},
        },
    ),
    "vertex": (VERTEX, {"contents": [PARTS], "generationConfig": {"maxOutputTokens": 3, "temperature": 0.5}}),
    "sagemaker": (
        "/endpoints/m/invocations-response-stream",
        {**CHAT, "max_tokens": 3, "temperature": 0.5, **STREAMED},
    ),
    "bedrock": (
        "/model/m/converse-stream",
        {
            "messages": [{"role": "user", "content": [{"text": "Hi there"}]}],
            "inferenceConfig": {"maxTokens": 3, "temperature": 0.5},
        },
    ),
}


def target(api: str, **changes: Any) -> Target:
    return replace(TARGET, api=api, auth_options=OPTIONS, **changes)


def body(api: str, **changes: Any) -> Any:
    return build_body(target(api, **changes), "Hi there", 3, stream=True)


def test_each_authentication_has_an_entry() -> None:
    assert set(get_args(AuthName)) == set(AUTH)
    assert set(APIS) == {"chat", "completions", *REQUESTS}


@pytest.mark.parametrize("api", REQUESTS)
def test_a_request_goes_to_its_path_with_its_body(api: str) -> None:
    path, expected = REQUESTS[api]
    head, _, sent = request_writer(target(api), Credentials())(PLANNED).partition(b"\r\n\r\n")
    assert head.startswith(f"POST {path} HTTP/1.1\r\n".encode())
    assert orjson.loads(sent) == expected


@pytest.mark.parametrize("api", REQUESTS)
def test_without_a_temperature_the_servers_own_applies(api: str) -> None:
    assert b"temperature" not in orjson.dumps(body(api, temperature=None))


@pytest.mark.parametrize(
    ("api", "header"),
    [
        ("responses", b"Authorization: Bearer k"),
        ("messages", b"x-api-key: k"),
        ("messages", b"anthropic-version: 2023-06-01"),
        ("vertex", b"x-goog-api-key: k"),
        ("bedrock", b"Authorization: Bearer k"),
        ("bedrock", b"Accept: application/vnd.amazon.eventstream"),
    ],
)
def test_each_api_has_its_headers(api: str, header: bytes) -> None:
    head, _, _ = request_writer(target(api), Credentials(api_key="k"))(PLANNED).partition(b"\r\n\r\n")
    assert header in head.split(b"\r\n")


def test_a_key_can_be_sent_as_a_bearer_token_whatever_the_api() -> None:
    """As vLLM expects it for messages, too."""
    head, _, _ = request_writer(target("messages", auth="bearer"), Credentials(api_key="k"))(PLANNED).partition(
        b"\r\n\r\n"
    )
    assert b"Authorization: Bearer k" in head
    assert b"x-api-key" not in head


def test_greedy_decoding_is_not_a_temperature_of_0_for_tgi() -> None:
    parameters = body("tgi", temperature=0.0)["parameters"]
    assert (parameters["do_sample"], "temperature" in parameters) == (False, False)


def test_only_vllms_responses_fix_the_length_of_an_answer() -> None:
    assert body("responses", enforce_output_tokens=True)["ignore_eos"] is True
    assert "ignore_eos" not in body("messages", enforce_output_tokens=True)
    assert not APIS["messages"].can_enforce_length


def test_a_dedicated_endpoint_of_oci_is_named_by_its_id() -> None:
    endpoint = "ocid1.generativeaiendpoint.oc1.eu-frankfurt-1.x"
    assert body("oci", model=endpoint)["servingMode"] == {"servingType": "DEDICATED", "endpointId": endpoint}


def test_cohere_models_have_a_format_of_their_own() -> None:
    request = body("oci", model="cohere.command-r-08-2024")["chatRequest"]
    assert (request["apiFormat"], request["message"], "messages" in request) == ("COHERE", "Hi there", False)


def test_the_format_of_a_dedicated_endpoint_can_be_named() -> None:
    given = replace(TARGET, api="oci", auth_options=OPTIONS | {"api_format": "COHEREV2"})
    request = build_body(given, "Hi there", 3, stream=True)["chatRequest"]
    assert isinstance(request, dict)
    assert request["apiFormat"] == "COHEREV2"


def test_a_container_of_tgi_is_asked_as_tgi_is() -> None:
    given = replace(TARGET, api="sagemaker", auth_options={"container": "tgi"})
    assert build_body(given, "Hi there", 3, stream=True) == {**REQUESTS["tgi"][1], "stream": True}


def test_the_model_in_a_path_is_quoted() -> None:
    url = request_url(target("bedrock", model="meta.llama3-1-8b-instruct-v1:0"))
    assert url == "http://h/model/meta.llama3-1-8b-instruct-v1%3A0/converse-stream"


def test_a_header_in_another_case_replaces_the_usual_one() -> None:
    named = {"anthropic-Version": "2099-01-01", "accept": "text/plain", "X-API-Key": "one"}
    head = request_writer(target("messages"), Credentials("two", named))(PLANNED).partition(b"\r\n\r\n")[0].lower()
    assert [head.count(b"\r\n%s:" % name) for name in (b"anthropic-version", b"accept", b"x-api-key")] == [1, 1, 1]
    assert b"anthropic-version: 2099-01-01" in head
