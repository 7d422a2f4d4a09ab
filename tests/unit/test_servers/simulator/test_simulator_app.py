"""What the routes do, beyond what the contract test compares with the recordings."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
import uvloop

from shapebench.test_servers.simulator.answers import draw
from shapebench.test_servers.simulator.app import App
from shapebench.test_servers.simulator.driver import Driver
from shapebench.test_servers.simulator.engine import Engine, Request
from shapebench.test_servers.simulator.metrics import Metrics
from shapebench.test_servers.simulator.presets import PRESETS, Preset
from shapebench.test_servers.simulator.requests import ChatBody, CompletionBody
from shapebench.test_servers.simulator.truth import Truth

FAST = PRESETS["fast"]


def ask(app: App, path: str = "/v1/completions", **body: Any) -> httpx.Response:
    async def post() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://simulator") as client:
            return await client.post(path, json=body)

    return asyncio.run(post())


def events(response: httpx.Response) -> list[dict[str, Any]]:
    found = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert found.pop() == "[DONE]"
    return [json.loads(event) for event in found]


def test_min_tokens_equal_to_max_tokens_fixes_the_length() -> None:
    answer = ask(App(FAST), prompt="Hi", max_tokens=40, min_tokens=40).json()
    assert answer["usage"]["completion_tokens"] == 40
    assert answer["choices"][0]["finish_reason"] == "length"


def test_the_text_of_an_answer_has_as_many_tokens_as_its_usage_says() -> None:
    app = App(FAST)
    text = ask(app, prompt="Hi", max_tokens=200, ignore_eos=True).json()["choices"][0]["text"]
    assert ask(app, "/tokenize", prompt=text).json()["count"] == 200


def test_a_natural_length_lies_between_min_tokens_and_max_tokens() -> None:
    body = CompletionBody(prompt="Hi", min_tokens=5)
    lengths = {len(draw(body, 20, FAST).tokens) for _ in range(400)}
    assert lengths == set(range(5, 21))


def test_an_answer_that_ends_by_itself_stops_with_a_token_without_text() -> None:
    body = ChatBody(messages=[])
    drawn = [draw(body, 4000, FAST) for _ in range(20)]
    assert {output.finish_reason for output in drawn} == {"stop"}
    app = App(FAST)
    stream: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
    *chunks, usage = events(ask(app, prompt="Hi", max_tokens=4000, **stream))
    assert chunks[-1]["choices"][0] | {"text": ""} == chunks[-1]["choices"][0]
    assert len(chunks) == usage["usage"]["completion_tokens"]


def test_tokens_with_empty_text_count_like_others() -> None:
    app = App(replace(FAST, empty_text_share=0.2))
    chunks = events(ask(app, prompt="Hi", max_tokens=300, ignore_eos=True, stream=True))
    assert len(chunks) == 300
    assert 0 < sum(chunk["choices"][0]["text"] == "" for chunk in chunks) < 150


def test_a_bos_token_counts_unless_it_is_declined() -> None:
    app = App(replace(FAST, adds_bos=True))
    counts = [ask(app, "/tokenize", prompt="Hi", add_special_tokens=add).json()["count"] for add in (True, False)]
    assert counts == [2, 1]
    assert ask(app, prompt="Hi", max_tokens=1).json()["usage"]["prompt_tokens"] == 2


def test_a_prompt_of_token_ids_counts_them() -> None:
    answer = ask(App(FAST), prompt=[11, 12, 13], max_tokens=2, return_token_ids=True).json()
    assert answer["usage"]["prompt_tokens"] == 3
    assert answer["choices"][0]["prompt_token_ids"] == [11, 12, 13]
    assert len(answer["choices"][0]["token_ids"]) == answer["usage"]["completion_tokens"]


def test_a_prompt_and_an_answer_together_too_long_are_refused() -> None:
    response = ask(App(FAST), prompt=" a" * 4000, max_tokens=97)
    assert response.status_code == 400
    assert "requested 97 output tokens and your prompt contains at least 4000" in response.json()["error"]["message"]
    assert ask(App(FAST), prompt=" a" * 4000, max_tokens=96).status_code == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0."),
        ({"n": 2}, "n must be 1"),
        ({"stream_options": {"include_usage": True}}, "Stream options can only be defined when `stream=True`."),
        ({"max_tokens": "many"}, "'loc': 'body.max_tokens'"),
        ({"prompt": ""}, "prompt cannot be empty"),
        ({"prompt": ["one", "two"]}, "one prompt in a request"),
    ],
)
def test_what_cannot_be_done_is_refused(body: dict[str, Any], message: str) -> None:
    response = ask(App(FAST), **({"prompt": "Hi"} | body))
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]


def test_every_request_is_in_the_log_when_it_ends() -> None:
    log: list[Truth] = []
    response = ask(App(FAST, log.append), prompt="Hi there", max_tokens=7, ignore_eos=True)
    (truth,) = log
    assert truth.request_id == response.json()["id"]
    assert (truth.prompt_tokens, truth.output_tokens, truth.finish_reason) == (3, 7, "length")
    assert truth.first_token_ns is not None
    assert truth.last_token_ns is not None
    assert truth.received_ns < truth.first_token_ns < truth.last_token_ns


def run_requests(preset: Preset, requests: list[Request]) -> str:
    """The text of /metrics after the requests ran together, on the loop that the server uses."""

    async def drive() -> str:
        metrics = Metrics(engine := Engine(preset))
        driver = Driver(engine, metrics)
        for request in requests:
            driver.submit(request)
        while engine.busy:  # noqa: ASYNC110 - the engine keeps no events, and is done in a moment
            await asyncio.sleep(0.01)
        return metrics.text().decode()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(drive())


def test_the_errors_of_a_timer_that_counts_whole_milliseconds_do_not_add_up() -> None:
    request = Request(1, 200)
    run_requests(replace(FAST, base_s=0.0013, per_sequence_s=0), [request])
    assert request.last_token_s - request.admitted_s > 200 * 0.0013 - 0.001


def test_metrics_add_up_over_the_requests() -> None:
    text = run_requests(FAST, [Request(10, 5), Request(20, 1), Request(30, 8, finish_reason="stop")])
    values = {line.split("{")[0]: float(line.split()[-1]) for line in text.splitlines() if line[0] != "#"}
    assert values["vllm:prompt_tokens_total"] == 60
    assert values["vllm:generation_tokens_total"] == 14
    assert values["vllm:inter_token_latency_seconds_count"] == 14 - 3
    assert values["vllm:time_to_first_token_seconds_count"] == 3
    assert values["vllm:request_time_per_output_token_seconds_count"] == 2
    assert 'finished_reason="stop",model_name="meta-llama/Llama-3.2-3B-Instruct"} 1.0' in text
    assert 'finished_reason="length",model_name="meta-llama/Llama-3.2-3B-Instruct"} 2.0' in text
