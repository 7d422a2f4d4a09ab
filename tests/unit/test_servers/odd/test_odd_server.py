"""The odd server on its socket: HTTP, TLS, the log of what it sent, its options, and its end."""

import argparse
import json
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from shapebench.errors import ShapebenchError
from shapebench.test_servers.odd.oddities import USUAL, Oddities, Timing
from shapebench.test_servers.odd.options import add_options, as_words, from_options
from shapebench.test_servers.odd.process import running_odd_server
from shapebench.test_servers.odd.server import tls_context
from tests.odd_server import OddServer, odd_server

TIMING = Timing()
BODY: dict[str, Any] = {
    "messages": [{"role": "user", "content": "How are you?"}],
    "max_tokens": 6,
    "stream": True,
    "stream_options": {"include_usage": True},
}
CHAT = "/v1/chat/completions"


def ask(server: OddServer, **more: Any) -> httpx.Response:
    return httpx.post(f"{server.url}{CHAT}", json=BODY | more)


def test_an_answer_is_chunked_and_its_connection_is_kept() -> None:
    with odd_server(USUAL) as server, httpx.Client(base_url=server.url) as client:
        answers = [client.post(CHAT, json=BODY) for _ in range(2)]
    assert [answer.headers["transfer-encoding"] for answer in answers] == ["chunked"] * 2
    assert [answer.text.count(" tick") for answer in answers] == [6, 6]
    streams = {id(answer.extensions["network_stream"]) for answer in answers}
    assert len(streams) == 1


def test_the_log_says_when_each_token_was_sent() -> None:
    with odd_server(Oddities(tokens_per_chunk=3, reasoning="reasoning")) as server:
        ask(server)
        truth = server.truths(1)[0]
    due_ms = [45, 45, 45, 60, 60, 60]
    late_ms = [(at - truth["received_ns"]) / 1e6 - due for at, due in zip(truth["sent_ns"], due_ms, strict=True)]
    assert min(late_ms) >= 0
    assert truth["first_answer_ns"] == truth["sent_ns"][-1]
    assert (truth["prompt_tokens"], truth["output_tokens"], truth["reasoning_tokens"]) == (3, 6, 3)


def test_a_connection_is_cut_in_the_middle_of_an_answer() -> None:
    with odd_server(Oddities(error="cut")) as server, pytest.raises(httpx.RemoteProtocolError):
        ask(server)


def test_an_error_may_be_the_whole_answer() -> None:
    with odd_server(Oddities(error="json_body")) as server:
        answer = ask(server)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert "error" in answer.json()


def test_it_speaks_tls_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    authority = trustme.CA()
    pem = tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with odd_server(USUAL, tls=tls_context(pem, None)) as server:
        assert httpx.get(f"{server.url}/health", verify=trusting).status_code == 200
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{server.url}/health")


def test_a_certificate_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ShapebenchError, match="Cannot read the certificate"):
        tls_context(tmp_path / "none.pem", None)


@pytest.mark.slow
def test_as_a_process_it_takes_the_switches_as_options(tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    with running_odd_server(Oddities(no_done=True, heartbeats=("null",)), log) as url:
        answer = httpx.post(f"{url}{CHAT}", json=BODY).text
    assert "[DONE]" not in answer
    assert "data: null" in answer
    assert json.loads(log.read_text())["output_tokens"] == 6


def parsed(*words: str) -> Oddities:
    parser = argparse.ArgumentParser()
    add_options(parser, Oddities)
    return from_options(Oddities, parser.parse_args(words))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"no_done": True, "tokens_per_chunk": 5},
        {"health_status": 404, "retry_after_s": 0.5, "base_path": "/v3"},
        {"nulls": ("delta", "choices"), "heartbeats": ("null",), "line_end": "crlf"},
    ],
    ids=str,
)
def test_options_make_the_switches_that_were_written_as_options(changes: dict[str, Any]) -> None:
    oddities = replace(USUAL, **changes)
    assert parsed(*as_words(oddities)) == oddities


def test_each_switch_has_a_flag_of_its_name() -> None:
    assert parsed("--no-done", "--tokens-per-chunk", "5") == Oddities(no_done=True, tokens_per_chunk=5)


def test_numbers_that_cannot_be_are_refused_all_at_once() -> None:
    with pytest.raises(ShapebenchError, match="tokens_per_chunk is 0, limited_requests is -1"):
        Oddities(tokens_per_chunk=0, limited_requests=-1)
