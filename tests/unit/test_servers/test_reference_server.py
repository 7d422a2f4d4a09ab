"""The metronome, over real sockets."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from shapebench.errors import ShapebenchError
from shapebench.test_servers.reference import answers, truth
from shapebench.test_servers.reference.pace import Pace
from shapebench.test_servers.reference.process import running_reference_server
from shapebench.test_servers.reference.routes import Routes
from shapebench.test_servers.reference.server import Server, allow_many_connections
from shapebench.test_servers.vllm_format import ChatFormat

COMMAND = [sys.executable, "-m", "shapebench.test_servers.reference"]
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "How are you?"}]},
    COMPLETIONS: {"prompt": "How are  you\n today, then?"},
}
PROMPT_TOKENS = 5
QUICK = Pace(ttft_s=0.005, gap_s=0.001)
SLOW = Pace(ttft_s=0.0, gap_s=30.0)
WITH_USAGE = {"stream": True, "stream_options": {"include_usage": True}}


@dataclass(frozen=True)
class Served:
    """A metronome that is running."""

    url: str
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", urlsplit(self.url).port or 0

    def ask(self, path: str = COMPLETIONS, **more: Any) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=BODIES[path] | more)

    def truths(self, count: int) -> list[dict[str, Any]]:
        """The log, as soon as it has so many lines."""
        until(lambda: self.log.read_bytes().count(b"\n") == count)
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def serving(folder: Path, pace: Pace) -> Iterator[Served]:
    log = folder / "truth.jsonl"
    with truth.opened(log) as written, socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(listener, Routes(pace, written).respond, written)
        thread = Thread(target=server.run)
        thread.start()
        try:
            yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", log)
        finally:
            server.loop.stop()
            thread.join()


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, QUICK) as served:
        yield served


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Served]:
    """Sends one token at once, and the next after half a minute."""
    with serving(tmp_path, SLOW) as served:
        yield served


def until(condition: Callable[[], bool]) -> None:
    """Wait for the condition, at most 10 s."""
    end_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end_s, "it did not happen within 10 s"
        time.sleep(0.01)


def events(text: str) -> list[dict[str, Any]]:
    found = [line.removeprefix("data: ") for line in text.splitlines() if line]
    assert found.pop() == "[DONE]"
    return [json.loads(event) for event in found]


def request_bytes(body: bytes, *headers: str, path: str = COMPLETIONS) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: m", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def stream_bytes(**more: Any) -> bytes:
    return request_bytes(json.dumps(BODIES[COMPLETIONS] | {"stream": True} | more).encode())


def read_until(line: socket.socket, end: bytes) -> bytes:
    line.settimeout(10)
    data = b""
    while not data.endswith(end):
        piece = line.recv(65536)
        assert piece, f"closed after {data!r}"
        data += piece
    return data


def shape(value: Any) -> Any:
    """The keys in their order, and the types of what they hold."""
    if isinstance(value, dict):
        return [(key, shape(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value)


CHUNK = '{"id":"","object":"","created":0,"model":"","choices":[%s]%s}'
CHAT_CHOICE = '{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":%s,"token_ids":null}'
COMPLETION_CHOICE = (
    '{"index":0,"text":"","logprobs":null,"finish_reason":%s,"stop_reason":null,"prompt_token_ids":null,'
    '"token_ids":null}'
)
USAGE = ',"usage":{"prompt_tokens":0,"total_tokens":0,"completion_tokens":0},"system_fingerprint":""'
ROLE = '{"index":0,"delta":{"role":"","content":""},"logprobs":null,"finish_reason":null}'
# As vLLM 0.32 was recorded, values aside.
RECORDED_STREAMS = {
    CHAT: [
        CHUNK % (ROLE, ',"prompt_token_ids":null,"prompt_text":null'),
        CHUNK % (CHAT_CHOICE % "null", ""),
        CHUNK % (CHAT_CHOICE % '"","stop_reason":null', ""),
        CHUNK % ("", USAGE),
    ],
    COMPLETIONS: [
        CHUNK % (COMPLETION_CHOICE % "null", ""),
        CHUNK % (COMPLETION_CHOICE % '""', ""),
        CHUNK % ("", USAGE),
    ],
}
WHOLE_USAGE = (
    '"usage":{"prompt_tokens":0,"total_tokens":0,"completion_tokens":0,"prompt_tokens_details":null,'
    '"completion_tokens_details":null}'
)
WHOLE_END = '"kv_transfer_params":null,"ec_transfer_params":null,"metrics":null}'
RECORDED_WHOLE = {
    CHAT: '{"id":"","object":"","created":0,"model":"","choices":[{"index":0,"message":{"role":"","content":"",'
    '"refusal":null,"annotations":null,"audio":null,"function_call":null,"reasoning":null},"logprobs":null,'
    '"finish_reason":"","stop_reason":null,"token_ids":null,"routed_experts":null}],"service_tier":null,'
    f'"system_fingerprint":"",{WHOLE_USAGE},"prompt_logprobs":null,"prompt_token_ids":null,"prompt_text":null,'
    + WHOLE_END,
    COMPLETIONS: '{"id":"","object":"","created":0,"model":"","choices":[{"index":0,"text":"","logprobs":null,'
    '"finish_reason":"","stop_reason":null,"token_ids":null,"prompt_logprobs":null,"prompt_token_ids":null,'
    f'"routed_experts":null}}],"service_tier":null,"system_fingerprint":"",{WHOLE_USAGE},' + WHOLE_END,
}


@pytest.mark.parametrize("path", BODIES)
def test_a_stream_has_the_form_that_vllm_s_has(path: str, quick: Served) -> None:
    chunks = events(quick.ask(path, max_tokens=2, **WITH_USAGE).text)
    assert [shape(chunk) for chunk in chunks] == [shape(json.loads(chunk)) for chunk in RECORDED_STREAMS[path]]


@pytest.mark.parametrize("path", BODIES)
def test_an_answer_that_is_not_streamed_has_the_form_that_vllm_s_has(path: str, quick: Served) -> None:
    assert shape(quick.ask(path, max_tokens=2).json()) == shape(json.loads(RECORDED_WHOLE[path]))


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("tokens", [1, 2, 3, 40])
def test_a_stream_has_as_many_tokens_as_were_asked_for(path: str, tokens: int, quick: Served) -> None:
    *chunks, usage = events(quick.ask(path, max_tokens=tokens, **WITH_USAGE).text)
    assert len(chunks) == tokens + (path == CHAT)
    assert usage["usage"] == {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": tokens,
        "total_tokens": PROMPT_TOKENS + tokens,
    }
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["length"]


def test_max_completion_tokens_comes_before_max_tokens(quick: Served) -> None:
    usage = quick.ask(CHAT, max_completion_tokens=3, max_tokens=9).json()["usage"]
    assert usage["completion_tokens"] == 3


def test_an_answer_has_100_tokens_where_nothing_else_is_asked(quick: Served) -> None:
    answer = quick.ask().json()
    assert answer["usage"]["completion_tokens"] == len(answer["choices"][0]["text"].split()) == 100


def test_usage_comes_only_if_it_is_asked_for(quick: Served) -> None:
    assert "usage" not in quick.ask(max_tokens=3, stream=True).text


def test_the_model_of_a_request_is_echoed(quick: Served) -> None:
    assert quick.ask(max_tokens=1, model="any").json()["model"] == "any"


@pytest.mark.parametrize("prompt", [[11, 12, 13], ["one two", "three"], [{"text": "one two three"}]])
def test_prompts_are_counted_in_words_or_token_ids(prompt: Any, quick: Served) -> None:
    assert quick.ask(prompt=prompt, max_tokens=1).json()["usage"]["prompt_tokens"] == 3


def test_the_log_agrees_with_what_the_client_received(quick: Served) -> None:
    streamed = events(quick.ask(max_tokens=7, stream=True).text)
    whole = quick.ask(CHAT, max_tokens=5).json()
    first, second = quick.truths(2)
    assert (first["request_id"], first["prompt_tokens"], first["output_tokens"]) == (
        streamed[0]["id"],
        PROMPT_TOKENS,
        7,
    )
    assert len(first["sent_ns"]) == len(streamed)
    assert (second["request_id"], second["output_tokens"], len(second["sent_ns"])) == (whole["id"], 5, 1)


def test_tokens_are_sent_in_order_between_request_and_arrival(quick: Served) -> None:
    before_ns = time.time_ns()
    quick.ask(max_tokens=30, stream=True)
    after_ns = time.time_ns()
    [logged] = quick.truths(1)
    times = [before_ns, logged["received_ns"], *logged["sent_ns"], after_ns]
    assert times == sorted(times)


@pytest.mark.parametrize("stream", [True, False])
def test_no_token_is_sent_before_it_is_due(stream: bool, quick: Served) -> None:
    quick.ask(max_tokens=20, stream=stream)
    [logged] = quick.truths(1)
    due_ns = [logged["received_ns"] + 5_000_000 + index * 1_000_000 for index in range(20)]
    pairs = zip(due_ns if stream else due_ns[-1:], logged["sent_ns"], strict=True)
    assert all(due <= sent for due, sent in pairs)


def test_the_head_comes_before_the_first_token(tmp_path: Path) -> None:
    with (
        serving(tmp_path, Pace(ttft_s=30)) as served,
        httpx.stream("POST", f"{served.url}{CHAT}", json=BODIES[CHAT] | {"stream": True}) as response,
    ):
        assert response.status_code == 200


def test_the_role_goes_out_with_the_first_token_and_the_usage_with_the_last() -> None:
    request = answers.parse_request(ChatFormat, json.dumps(BODIES[CHAT] | WITH_USAGE | {"max_tokens": 4}).encode())
    head, *sends = answers.Answer(request, number=1).pieces()
    assert head.endswith(b"\r\n\r\n")
    assert [piece.count(b"data: ") for piece in sends] == [2, 1, 1, 3]


def test_without_jitter_tokens_are_due_at_equal_gaps() -> None:
    assert [*Pace(0.2, 0.02).dues_ns(7, 3, seed=1)] == [7, 200_000_007, 220_000_007, 240_000_007]


def test_jitter_repeats_with_the_seed_and_stays_within_its_share() -> None:
    pace = Pace(0.2, 0.02, jitter=0.5)
    dues = [*pace.dues_ns(0, 1000, seed=1)]
    gaps = [later - earlier for earlier, later in pairwise(dues[1:])]
    assert dues == [*pace.dues_ns(0, 1000, seed=1)] != [*pace.dues_ns(0, 1000, seed=2)]
    assert 10_000_000 <= min(gaps) < 11_000_000
    assert 29_000_000 < max(gaps) <= 30_000_000
    assert 100_000_000 <= dues[1] <= 300_000_000


@pytest.mark.parametrize("wrong", [{"jitter": 1.5}, {"jitter": -0.1}, {"ttft_s": -1}, {"gap_s": float("nan")}])
def test_a_pace_that_cannot_be_kept_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ShapebenchError, match="cannot keep"):
        Pace(**wrong)


def test_a_connection_serves_one_request_after_another(quick: Served) -> None:
    with closing(socket.create_connection(quick.address)) as line:
        for _ in range(3):
            line.sendall(stream_bytes(max_tokens=3))
            assert read_until(line, b"0\r\n\r\n").count(b"data: {") == 3


def test_a_connection_is_closed_after_the_answer_where_that_is_asked(quick: Served) -> None:
    body = json.dumps(BODIES[COMPLETIONS] | {"stream": True, "max_tokens": 3}).encode()
    with closing(socket.create_connection(quick.address)) as line:
        line.sendall(request_bytes(body, "Connection: close"))
        read_until(line, b"0\r\n\r\n")
        assert line.recv(1) == b""


def test_a_request_may_come_byte_by_byte(quick: Served) -> None:
    with closing(socket.create_connection(quick.address)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in stream_bytes(max_tokens=3):
            line.send(bytes([byte]))
        assert read_until(line, b"0\r\n\r\n").count(b"data: {") == 3


def test_a_request_is_received_when_its_last_byte_is(quick: Served) -> None:
    whole = stream_bytes(max_tokens=1)
    with closing(socket.create_connection(quick.address)) as line:
        line.sendall(whole[:-1])
        time.sleep(0.1)
        before_ns = time.time_ns()
        line.sendall(whole[-1:])
        read_until(line, b"0\r\n\r\n")
    assert quick.truths(1)[0]["received_ns"] >= before_ns


def test_a_client_that_expects_to_be_told_to_continue_is_told(quick: Served) -> None:
    body = json.dumps(BODIES[COMPLETIONS] | {"stream": True, "max_tokens": 3}).encode()
    head = request_bytes(body, "Expect: 100-continue").removesuffix(body)
    with closing(socket.create_connection(quick.address)) as line:
        line.sendall(head)
        assert read_until(line, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(body)
        assert read_until(line, b"0\r\n\r\n").startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "request_",
    [
        b"hello\r\n\r\n",
        request_bytes(b"{"),
        request_bytes(b"[]"),
        request_bytes(b"{}"),
        request_bytes(b'{"prompt": "Hi", "max_tokens": 0}'),
        request_bytes(b'{"prompt": "Hi", "max_tokens": "many"}'),
        request_bytes(b'{"prompt": "Hi", "stream_options": "all"}'),
    ],
)
def test_a_malformed_request_is_refused_and_its_connection_closed(request_: bytes, quick: Served) -> None:
    with closing(socket.create_connection(quick.address)) as line:
        line.sendall(request_)
        head, _, body = read_until(line, b"}}").partition(b"\r\n\r\n")
        assert line.recv(1) == b""
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert json.loads(body)["error"].keys() == {"message", "type", "param", "code"}


def test_other_routes_answer_at_once(slow: Served) -> None:
    assert httpx.get(f"{slow.url}/health").status_code == 200
    assert "version" in httpx.get(f"{slow.url}/version").json()
    [model] = httpx.get(f"{slow.url}/v1/models").json()["data"]
    assert (model["id"], model["owned_by"]) == ("metronome", "metronome")
    assert httpx.get(f"{slow.url}/metrics").text.endswith("metronome_requests_total 0\n")


def test_metrics_can_be_those_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "metrics.txt").write_text("vllm:num_requests_running 3\n")
    with running_reference_server(metrics=tmp_path / "metrics.txt") as url:
        assert httpx.get(f"{url}/metrics").text == "vllm:num_requests_running 3\n"


def test_a_route_that_there_is_not_is_not_found(quick: Served) -> None:
    response = httpx.post(f"{quick.url}/tokenize", json={"prompt": "Hi"})
    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})


def test_a_client_that_leaves_is_logged_with_what_it_was_sent(slow: Served) -> None:
    with httpx.stream("POST", f"{slow.url}{COMPLETIONS}", json=BODIES[COMPLETIONS] | {"stream": True}) as response:
        next(response.iter_raw())
    [logged] = slow.truths(1)
    assert (logged["output_tokens"], len(logged["sent_ns"])) == (1, 1)


def test_a_client_that_leaves_before_its_first_token_was_sent_none(tmp_path: Path) -> None:
    with serving(tmp_path, Pace(ttft_s=30)) as served:
        for stream in (True, False):
            with closing(socket.create_connection(served.address)) as line:
                line.sendall(stream_bytes(stream=stream))
        truths = served.truths(2)
    assert [(logged["output_tokens"], logged["sent_ns"]) for logged in truths] == [(0, []), (0, [])]


def test_what_is_under_way_when_it_is_stopped_is_logged(tmp_path: Path) -> None:
    with serving(tmp_path, SLOW) as served, closing(socket.create_connection(served.address)) as line:
        line.sendall(stream_bytes())
        read_until(line, b"\n\n\r\n")
    assert served.truths(1)[0]["output_tokens"] == 1


def test_a_client_that_talks_out_of_turn_is_disconnected(slow: Served) -> None:
    with closing(socket.create_connection(slow.address)) as line:
        line.sendall(stream_bytes())
        read_until(line, b"\n\n\r\n")
        line.sendall(stream_bytes())
        assert line.recv(1) == b""


TOO_MANY_TO_BUFFER = 40_000


@contextmanager
def unread(served: Served) -> Iterator[socket.socket]:
    """A stream of which nothing is read, longer than sockets hold."""
    with closing(socket.socket()) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        line.connect(served.address)
        line.sendall(stream_bytes(max_tokens=TOO_MANY_TO_BUFFER))
        yield line


@pytest.fixture
def unlimited(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, Pace(ttft_s=0, gap_s=0)) as served:
        yield served


def test_a_client_that_does_not_read_does_not_hold_up_another(unlimited: Served) -> None:
    with unread(unlimited):
        assert unlimited.ask(max_tokens=5).status_code == 200
        assert len(unlimited.truths(1)) == 1, "the other one is not done"


def test_a_client_that_reads_late_gets_all_of_it(unlimited: Served) -> None:
    with unread(unlimited) as line:
        unlimited.ask(max_tokens=1)
        assert read_until(line, b"0\r\n\r\n").count(b"data: {") == TOO_MANY_TO_BUFFER
    *_, logged = unlimited.truths(2)
    assert logged["output_tokens"] == TOO_MANY_TO_BUFFER
    assert logged["sent_ns"] == sorted(logged["sent_ns"])


def test_tokens_that_a_client_never_took_are_not_in_the_log(unlimited: Served) -> None:
    with unread(unlimited):
        unlimited.ask(max_tokens=1)
    *_, logged = unlimited.truths(2)
    assert logged["output_tokens"] == len(logged["sent_ns"]) < TOO_MANY_TO_BUFFER


def test_a_log_without_a_quiet_moment_is_written_all_the_same(tmp_path: Path) -> None:
    with truth.opened(tmp_path / "log") as log:
        for number in range(5000):
            log.add(truth.Truth(str(number), 1, [2], 3, 1))
        assert (tmp_path / "log").read_bytes().count(b"\n") >= 900
    assert (tmp_path / "log").read_bytes().count(b"\n") == 5000


@pytest.mark.measures_time
@pytest.mark.slow
def test_2000_connections_are_served_at_once(tmp_path: Path) -> None:
    allow_many_connections()
    with running_reference_server(ttft_s=0.5, gap_s=0.1, log=tmp_path / "log") as url, ExitStack() as open_lines:
        served = Served(url, tmp_path / "log")
        lines = [open_lines.enter_context(socket.create_connection(served.address)) for _ in range(2000)]
        for line in lines:
            line.sendall(stream_bytes(max_tokens=3))
        assert {read_until(line, b"0\r\n\r\n").count(b"data: {") for line in lines} == {3}
        assert len({logged["request_id"] for logged in served.truths(2000)}) == 2000


@contextmanager
def started(*options: str) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen([*COMMAND, *options], stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().split()[3]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(number: signal.Signals, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with started("--ttft-s", "0", "--gap-s", "30", "--log", str(log)) as process:
        served = Served(url_of(process), log)
        with closing(socket.create_connection(served.address)) as line:
            line.sendall(stream_bytes())
            read_until(line, b"\n\n\r\n")
            process.send_signal(number)
            assert process.wait(10) == 0
    assert served.truths(1)[0]["output_tokens"] == 1


@pytest.mark.slow
def test_it_ends_with_its_standard_input() -> None:
    with started("--stop-at-eof") as process:
        url_of(process)
        assert process.stdin
        process.stdin.close()
        assert process.wait(10) == 0


@pytest.mark.slow
def test_it_ends_at_once_where_standard_input_is_no_pipe() -> None:
    ended = subprocess.run([*COMMAND, "--stop-at-eof"], stdin=subprocess.DEVNULL, capture_output=True, check=True)
    assert ended.stderr == b""


@pytest.mark.slow
def test_it_ends_when_its_parent_is_killed() -> None:
    code = (
        "import time; from shapebench.test_servers.reference.process import running_reference_server\n"
        "with running_reference_server() as url: print(url, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        url = parent.stdout.readline().strip()
        assert httpx.get(f"{url}/health").status_code == 200
        os.kill(parent.pid, signal.SIGKILL)
    until(lambda: not listens(url))


@pytest.mark.slow
def test_it_is_stopped_at_the_end_of_the_block() -> None:
    with running_reference_server(jitter=0.1) as url:
        assert listens(url)
    assert not listens(url)


def listens(url: str) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0


@pytest.mark.slow
def test_what_it_cannot_do_is_said_to_whoever_starts_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(ShapebenchError, match="reference` ended"),
        running_reference_server(log=tmp_path / "no" / "such"),
    ):
        pass
    assert "Cannot write the log" in capfd.readouterr().err
    with pytest.raises(ShapebenchError, match="with status 1"), running_reference_server(jitter=2):
        pass
    assert "cannot keep" in capfd.readouterr().err


@pytest.mark.slow
def test_a_port_in_use_is_refused_in_plain_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"Cannot listen on port {port}" in ended.stderr
