"""The simulator answers as vLLM 0.32 did when it was recorded (`recorded/`), key for key."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from shapebench.test_servers.simulator.process import running_simulator

RECORDED = Path(__file__).parent / "recorded"
MODEL = "meta-llama/Llama-3.2-3B-Instruct"
HELLO = [{"role": "user", "content": "Hello"}]
SIX: dict[str, Any] = {"model": MODEL, "max_tokens": 6, "min_tokens": 6, "ignore_eos": True}
STREAM: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
EACH_CHUNK: dict[str, Any] = {
    "max_tokens": 3,
    "min_tokens": 3,
    "stream": True,
    "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    "return_token_ids": True,
}

# What differs from answer to answer, and from model to model.
ANY_STRING = {"id", "content", "text", "root", "system_fingerprint"}
ANY_NUMBER = {"created", "max_model_len"}
ANY_IDS = {"tokens", "token_ids", "prompt_token_ids"}


@dataclass(frozen=True)
class Message:
    """Status line, headers and body of one response."""

    status: int
    headers: list[tuple[str, str]]
    body: str


def message(text: str) -> Message:
    head, _, body = text.partition("\n\n")
    status, *headers = head.splitlines()
    pairs = [(name, value) for name, _, value in (line.partition(": ") for line in headers)]
    return Message(int(status.split()[1]), pairs, body)


def recorded(name: str) -> Message:
    return message((RECORDED / name).read_text())


def recorded_under(name: str) -> dict[str, Message]:
    """The responses in a file of several, by their titles."""
    parts = re.split(r"^### (.*)\n", (RECORDED / name).read_text(), flags=re.MULTILINE)[1:]
    return {title: message(text) for title, text in zip(parts[::2], parts[1::2], strict=True)}


CONTROL = recorded_under("control.txt")
ERRORS = recorded_under("errors.txt")


@pytest.fixture(scope="module")
def server() -> Iterator[httpx.Client]:
    with running_simulator("fast") as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture(scope="module")
def guarded() -> Iterator[httpx.Client]:
    with running_simulator("fast", api_key="secret") as url, httpx.Client(base_url=url) as client:
        yield client


def received(response: httpx.Response) -> Message:
    headers = [(name.decode(), value.decode()) for name, value in response.headers.raw]
    return Message(response.status_code, headers, response.text)


def framing(response: Message) -> tuple[int, list[tuple[str, str]]]:
    """Status and headers in their order; dates and lengths are masked."""
    masked = {"date": "", "content-length": ""}
    return response.status, [(name, masked.get(name, value)) for name, value in response.headers]


def masked(value: Any, key: str = "") -> Any:
    """A JSON value in which all that may differ is replaced by its type; keys keep their order."""
    if isinstance(value, dict):
        return [(name, masked(part, name)) for name, part in value.items()]
    if key in ANY_IDS and value is not None:
        return "ids", all(isinstance(token, int) for token in value)
    if isinstance(value, list):
        return [masked(part) for part in value]
    return type(value) if key in ANY_STRING | ANY_NUMBER else value


def as_json(response: Message) -> Any:
    return masked(json.loads(response.body))


def events(response: Message) -> list[Any]:
    """What the SSE events hold, in order."""
    lines = response.body.strip("\n").split("\n\n")
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [masked(json.loads(line.removeprefix("data: "))) for line in lines[:-1]]


@pytest.mark.parametrize("path", ["/health", "/version", "/v1/models"])
def test_a_control_route_answers_as_recorded(server: httpx.Client, path: str) -> None:
    ours, theirs = received(server.get(path)), CONTROL[f"GET {path}"]
    assert framing(ours) == framing(theirs)
    assert ours.body == theirs.body.strip() or as_json(ours) == as_json(theirs)


@pytest.mark.parametrize(
    ("title", "body"),
    [
        ("POST /tokenize", {"prompt": "Hello, world"}),
        ("POST /tokenize (chat)", {"messages": [{"role": "user", "content": "Hello, world"}]}),
    ],
)
def test_the_tokenizer_answers_as_recorded(server: httpx.Client, title: str, body: dict[str, Any]) -> None:
    ours, theirs = received(server.post("/tokenize", json=body | {"model": MODEL})), CONTROL[title]
    assert framing(ours) == framing(theirs)
    assert as_json(ours) == as_json(theirs)
    assert len(json.loads(ours.body)["tokens"]) == json.loads(theirs.body)["count"]


@pytest.mark.parametrize(
    ("name", "path", "body"),
    [
        ("chat.txt", "/v1/chat/completions", {"messages": HELLO}),
        ("completions.txt", "/v1/completions", {"prompt": "Hello"}),
    ],
)
def test_an_answer_in_one_piece_is_as_recorded(
    server: httpx.Client, name: str, path: str, body: dict[str, Any]
) -> None:
    ours, theirs = received(server.post(path, json=SIX | body)), recorded(name)
    assert framing(ours) == framing(theirs)
    assert as_json(ours) == as_json(theirs)


STREAMS = [
    ("sse_chat.txt", "/v1/chat/completions", {"messages": HELLO} | STREAM),
    ("sse_completions.txt", "/v1/completions", {"prompt": "Hello"} | STREAM),
    ("sse_chat_usage_each_chunk.txt", "/v1/chat/completions", {"messages": HELLO} | EACH_CHUNK),
]


@pytest.mark.parametrize(("name", "path", "body"), STREAMS)
def test_a_stream_is_as_recorded_chunk_for_chunk(
    server: httpx.Client, name: str, path: str, body: dict[str, Any]
) -> None:
    ours, theirs = received(server.post(path, json=SIX | body)), recorded(name)
    assert framing(ours) == framing(theirs)
    assert events(ours) == events(theirs)


@pytest.mark.parametrize(("name", "path", "body"), STREAMS)
def test_the_bytes_of_a_stream_are_as_recorded_but_for_ids_texts_and_times(
    server: httpx.Client, name: str, path: str, body: dict[str, Any]
) -> None:
    ours, theirs = received(server.post(path, json=SIX | body)), recorded(name)
    assert without_values(ours.body) == without_values(theirs.body).rstrip("\n") + "\n\n"


def without_values(body: str) -> str:
    text = re.sub(r'"(content|text|id|system_fingerprint)":"(?:[^"\\]|\\.)*"', r'"\1":"_"', body)
    # The opening of a chat has empty content; so may any token have.
    return re.sub(r'"created":\d+|(?<=_ids":\[)[\d,]+', "_", text)


def test_in_a_chat_the_opening_goes_out_with_the_first_token(server: httpx.Client) -> None:
    with server.stream("POST", "/v1/chat/completions", json=SIX | STREAM | {"messages": HELLO}) as response:
        first = next(response.iter_raw())
    assert first.count(b"data: ") == 2


REFUSED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "unknown model": ("POST", "/v1/chat/completions", {"json": {"model": "nope", "messages": HELLO}}),
    "prompt longer than max_model_len": ("POST", "/v1/completions", {"json": {"prompt": " a" * 4200}}),
    "prompt and max_tokens together longer": (
        "POST",
        "/v1/completions",
        {"json": {"prompt": "Hello", "max_tokens": 50_000}},
    ),
    "invalid JSON": (
        "POST",
        "/v1/completions",
        {"content": '{"model":}', "headers": {"content-type": "application/json"}},
    ),
    "a field missing": ("POST", "/v1/chat/completions", {"json": {"model": MODEL}}),
    "min_tokens above max_tokens": (
        "POST",
        "/v1/chat/completions",
        {"json": {"messages": HELLO, "max_tokens": 5, "min_tokens": 9}},
    ),
    "temperature below 0": ("POST", "/v1/chat/completions", {"json": {"messages": HELLO, "temperature": -1}}),
    "unknown path": ("GET", "/v1/nothing", {}),
    "wrong method": ("GET", "/v1/chat/completions", {}),
    "wrong content type": (
        "POST",
        "/v1/chat/completions",
        {"content": "{}", "headers": {"content-type": "text/plain"}},
    ),
}


def test_every_recorded_error_is_compared() -> None:
    assert list(REFUSED) == list(ERRORS)


@pytest.mark.parametrize("title", ERRORS)
def test_an_error_is_as_recorded(server: httpx.Client, title: str) -> None:
    method, path, sent = REFUSED[title]
    ours, theirs = received(server.request(method, path, **sent)), ERRORS[title]
    assert framing(ours) == framing(theirs)
    assert ours.body == theirs.body.strip()


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "secret"}])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/nothing"])
def test_without_its_key_a_guarded_server_answers_as_recorded(
    guarded: httpx.Client, path: str, headers: dict[str, str]
) -> None:
    ours, theirs = received(guarded.get(path, headers=headers)), recorded("error_401.txt")
    assert framing(ours) == framing(theirs)
    assert ours.body == theirs.body.strip()


def test_with_its_key_a_guarded_server_answers(guarded: httpx.Client) -> None:
    assert guarded.get("/v1/models", headers={"authorization": "Bearer secret"}).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/version", "/metrics"])
def test_a_guarded_server_keeps_its_control_routes_open(guarded: httpx.Client, path: str) -> None:
    assert guarded.get(path).status_code == 200


def test_a_guarded_server_keeps_its_tokenizer_open(guarded: httpx.Client) -> None:
    assert guarded.post("/tokenize", json={"prompt": "Hello"}).json()["count"] == 2


def families(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def outline(family: Metric) -> tuple[str, str, set[tuple[str, frozenset[str]]], list[str]]:
    """Type, help, sample names with their label names, and the bounds of buckets in order."""
    samples = {(sample.name, frozenset(sample.labels)) for sample in family.samples}
    bounds = [sample.labels["le"] for sample in family.samples if "le" in sample.labels]
    return family.type, family.documentation, samples, bounds


SERVED = {
    "num_requests_running",
    "num_requests_waiting",
    "kv_cache_usage_perc",
    "prefix_cache_queries",
    "prefix_cache_hits",
    "num_preemptions",
    "prompt_tokens",
    "generation_tokens",
    "request_success",
    "time_to_first_token_seconds",
    "inter_token_latency_seconds",
    "request_time_per_output_token_seconds",
    "e2e_request_latency_seconds",
    "request_queue_time_seconds",
    "request_prefill_time_seconds",
    "request_decode_time_seconds",
    "cache_config_info",
}


def test_metrics_have_the_names_types_labels_and_buckets_of_the_recorded(server: httpx.Client) -> None:
    ours = families(server.get("/metrics").text)
    theirs = families((RECORDED / "metrics.txt").read_text())
    assert {f"vllm:{name}" for name in SERVED} <= set(ours)
    assert {name: outline(family) for name, family in ours.items()} == {name: outline(theirs[name]) for name in ours}


def test_finished_reasons_are_those_of_the_recorded(server: httpx.Client) -> None:
    ours, theirs = server.get("/metrics").text, (RECORDED / "metrics.txt").read_text()
    reason = r'^vllm:request_success_total{.*finished_reason="(\w+)"'
    assert re.findall(reason, ours, re.MULTILINE) == re.findall(reason, theirs, re.MULTILINE)
