"""Each fault does what it says, and leaves plain requests alone."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from shapebench.test_servers.simulator.app import App
from shapebench.test_servers.simulator.faults import Faults
from shapebench.test_servers.simulator.faulty import FaultyApp
from shapebench.test_servers.simulator.presets import PRESETS
from shapebench.test_servers.simulator.process import running_simulator
from shapebench.test_servers.simulator.truth import Truth
from shapebench.test_servers.vllm_format import VERSION

FAST = PRESETS["fast"]
PLAIN: dict[str, Any] = {"prompt": "Hi there", "max_tokens": 20, "min_tokens": 20, "ignore_eos": True}
STREAM: dict[str, Any] = PLAIN | {"stream": True, "stream_options": {"include_usage": True}}
CHAT: dict[str, Any] = {key: value for key, value in STREAM.items() if key != "prompt"} | {
    "messages": [{"role": "user", "content": "Hi there"}]
}
COMPLETIONS = "/v1/completions"


class Server:
    """An app with faults, asked in memory."""

    def __init__(self, **faults: float) -> None:
        self.log: list[Truth] = []
        self.app: App = FaultyApp(FAST, Faults(**faults), self.log.append)  # type: ignore[arg-type]

    def ask(self, body: dict[str, Any], times: int = 1, path: str = COMPLETIONS) -> list[httpx.Response]:
        return self._with_client(lambda client: [client.post(path, json=body) for _ in range(times)])

    def get(self, path: str) -> httpx.Response:
        return self._with_client(lambda client: [client.get(path)])[0]

    def metric(self, name: str) -> float:
        lines = self.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"vllm:{name}{{"))

    def _with_client(self, requests: Callable[[httpx.AsyncClient], list[Any]]) -> list[httpx.Response]:
        async def one_after_another() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as client:
                return [await request for request in requests(client)]

        return asyncio.run(one_after_another())


def events(response: httpx.Response) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def texts(response: httpx.Response) -> list[str]:
    return [choice["text"] for event in events(response) for choice in event["choices"]]


def usage(response: httpx.Response) -> dict[str, int]:
    content: dict[str, int] = events(response)[-1]["usage"]
    return content


def test_a_tenth_of_the_streamed_requests_is_refused_as_vllm_refuses() -> None:
    refused = [one for one in Server(refused=0.1).ask(STREAM, 50) if one.status_code != 200]
    assert [one.status_code for one in refused] == [503] * 5
    assert refused[0].json()["error"].keys() == {"message", "type", "param", "code"}


def test_usage_says_no_tokens_in_a_share_of_the_streamed_answers() -> None:
    answers = Server(zero_usage=0.25).ask(STREAM, 8)
    assert [usage(one)["completion_tokens"] for one in answers] == [20, 20, 20, 0] * 2
    assert [len(texts(one)) for one in answers] == [20] * 8


def test_usage_in_every_chunk_says_no_tokens_either() -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    (answer,) = Server(zero_usage=1).ask(STREAM | {"stream_options": options})
    assert {event["usage"]["completion_tokens"] for event in events(answer)} == {0}


def test_a_share_of_the_tokens_comes_in_the_event_of_the_token_before() -> None:
    server = Server(merged=0.25)
    answers = server.ask(STREAM, 4)
    assert [len(texts(one)) for one in answers] == [15] * 4
    assert usage(answers[0])["completion_tokens"] == 20
    text = "".join(texts(answers[0]))
    assert server.ask({"prompt": text}, path="/tokenize")[0].json()["count"] == 20, "no text is lost"


def test_merged_tokens_keep_their_ids_and_the_last_event_its_reason() -> None:
    (answer,) = Server(merged=0.5).ask(STREAM | {"return_token_ids": True})
    choices = [choice for event in events(answer) for choice in event["choices"]]
    assert [len(choice["token_ids"]) for choice in choices] == [2] * 10
    assert [choice["finish_reason"] for choice in choices] == [None] * 9 + ["length"]


def test_all_tokens_can_be_merged_into_one_event_of_a_chat() -> None:
    (answer,) = Server(merged=1).ask(CHAT, path="/v1/chat/completions")
    deltas = [choice["delta"] for event in events(answer) for choice in event["choices"]]
    assert [delta.get("role") for delta in deltas] == ["assistant", None]
    assert len(deltas[1]["content"].split()) == 20


def test_answers_end_early_whatever_was_asked() -> None:
    server = Server(short_tokens=5)
    (answer,) = server.ask(STREAM)
    assert (len(texts(answer)), usage(answer)["completion_tokens"]) == (15, 15)
    assert events(answer)[-2]["choices"][0]["finish_reason"] == "stop"
    assert (server.log[0].output_tokens, server.log[0].finish_reason) == (15, "stop")


def test_a_short_answer_keeps_one_token() -> None:
    (answer,) = Server(short_tokens=500).ask(STREAM)
    assert usage(answer)["completion_tokens"] == 1


def test_usage_and_metrics_say_more_prompt_tokens_than_there_are() -> None:
    server = Server(prompt_tokens_off=7)
    (answer,) = server.ask(STREAM)
    assert usage(answer)["prompt_tokens"] == 3 + 7
    assert usage(answer)["total_tokens"] == 3 + 7 + 20
    assert server.metric("prompt_tokens_total") == 3 + 7
    assert server.log[0].prompt_tokens == 3


def test_a_share_of_the_streamed_requests_is_not_in_the_metrics() -> None:
    server = Server(uncounted=0.5)
    server.ask(STREAM, 10)
    assert server.metric("generation_tokens_total") == 5 * 20
    assert server.metric("prompt_tokens_total") == 5 * 3
    assert server.metric("time_to_first_token_seconds_count") == 5
    assert server.metric("e2e_request_latency_seconds_count") == 5
    assert server.metric("request_success_total") == 5
    assert len(server.log) == 10


def test_ttft_in_the_metrics_is_multiplied() -> None:
    server = Server(ttft_factor=1000)
    server.ask(STREAM, 3)
    true_s = sum((t.first_token_ns or 0) - t.received_ns for t in server.log) / 1e9
    assert 100 * true_s < server.metric("time_to_first_token_seconds_sum") < 1000 * true_s
    assert server.metric("time_to_first_token_seconds_count") == 3


def test_the_version_changes_after_so_many_streamed_requests() -> None:
    server = Server(other_version_after=2)
    versions = []
    for _ in range(3):
        versions.append(server.get("/version").json()["version"] == VERSION)
        server.ask(STREAM)
    assert versions == [True, True, False]


def test_plain_requests_stay_right() -> None:
    server = Server(
        refused=1, zero_usage=1, merged=1, short_tokens=5, prompt_tokens_off=7, uncounted=1, other_version_after=1
    )
    answers = server.ask(PLAIN, 5)
    assert {one.status_code for one in answers} == {200}
    assert {tuple(one.json()["usage"].values())[:3] for one in answers} == {(3, 23, 20)}
    assert server.metric("generation_tokens_total") == 5 * 20
    assert server.metric("prompt_tokens_total") == 5 * 3
    assert server.get("/version").json()["version"] == VERSION


def test_faults_go_together() -> None:
    server = Server(merged=0.5, bunched=7, short_tokens=3, prompt_tokens_off=1, zero_usage=1)
    answers = server.ask(STREAM, 3)
    assert {(usage(one)["prompt_tokens"], usage(one)["completion_tokens"]) for one in answers} == {(4, 0)}
    assert [truth.output_tokens for truth in server.log] == [17] * 3


def writes(server: Server, body: dict[str, Any]) -> list[int]:
    """How many events of tokens each write of an answer holds."""
    sent: list[int] = []
    messages = iter([{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in messages:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message.get("body", b"").count(b'"text":'))

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "path": COMPLETIONS, "method": "POST", "headers": headers}
    asyncio.run(server.app(scope, receive, send))
    return [tokens for tokens in sent if tokens]


def test_tokens_are_bunched_and_the_rest_comes_at_the_end() -> None:
    assert writes(Server(bunched=8), STREAM) == [8, 8, 4]


def test_the_log_holds_the_time_at_which_a_bunch_was_written() -> None:
    server = Server(bunched=20)
    writes(server, STREAM)
    assert server.log[0].first_token_ns == server.log[0].last_token_ns


@pytest.mark.measures_time
@pytest.mark.slow
def test_first_tokens_come_ever_later_and_the_metrics_say_so(tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    with running_simulator("fast", log, faults=["drift_s_per_s=1"]) as url, httpx.Client(base_url=url) as client:
        for _ in range(4):
            client.post(COMPLETIONS, json=STREAM)
            time.sleep(0.05)
        metrics = client.get("/metrics").text
    truths = [json.loads(line) for line in log.read_text().splitlines()]
    ttft_s = [(truth["first_token_ns"] - truth["received_ns"]) / 1e9 for truth in truths]
    since_s = [(truth["received_ns"] - truths[0]["received_ns"]) / 1e9 for truth in truths]
    assert all(-0.001 < ttft - since < 0.2 for ttft, since in zip(ttft_s, since_s, strict=True))
    told_s = next(float(line.split()[-1]) for line in metrics.splitlines() if "to_first_token_seconds_sum" in line)
    assert told_s == pytest.approx(sum(ttft_s), abs=0.1)


@pytest.mark.slow
def test_a_request_that_is_held_up_when_the_server_stops_ends_quietly(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "truth.jsonl"
    with running_simulator("fast", log, faults=["drift_s_per_s=1000000"]) as url, httpx.Client(base_url=url) as client:
        client.post(COMPLETIONS, json=STREAM)
        with pytest.raises(httpx.ReadTimeout):
            client.post(COMPLETIONS, json=STREAM, timeout=0.1)
    first, second = (json.loads(line) for line in log.read_text().splitlines())
    assert (first["output_tokens"], second["output_tokens"], second["finish_reason"]) == (20, 0, "abort")
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_faults_and_settings_reach_the_process() -> None:
    faults, settings = ["refused=0.5", "short_tokens=4"], ["max_model_len=64", "kv_capacity_tokens=1000"]
    with running_simulator("fast", faults=faults, settings=settings) as url, httpx.Client(base_url=url) as client:
        assert [client.post(COMPLETIONS, json=STREAM).status_code for _ in range(4)] == [200, 503] * 2
        assert client.get("/v1/models").json()["data"][0]["max_model_len"] == 64


def test_metrics_can_be_hidden() -> None:
    assert Server(hidden_metrics=1).get("/metrics").status_code == 404
