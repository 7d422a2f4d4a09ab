"""The simulator as a process, over real sockets."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from shapebench.errors import ShapebenchError
from shapebench.test_servers.simulator.process import running_simulator

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "shapebench.test_servers.simulator"]
STREAM: dict[str, Any] = {"prompt": "Hi", "max_tokens": 4000, "ignore_eos": True, "stream": True}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "truth.jsonl"


@pytest.fixture
def url(log: Path) -> Iterator[str]:
    with running_simulator("a10-llama-3.2-3b", log=log) as base_url:
        yield base_url


def until(condition: Callable[[], bool]) -> None:
    """Wait for the condition, at most 10 s."""
    end_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end_s, "it did not happen within 10 s"
        time.sleep(0.02)


def metric(url: str, name: str) -> float:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"vllm:{name}"))


def test_a_client_that_leaves_frees_its_place(url: str, log: Path) -> None:
    with httpx.stream("POST", f"{url}/v1/completions", json=STREAM) as response:
        chunks = response.iter_raw()
        next(chunks)
        assert metric(url, "num_requests_running") == 1
    until(lambda: metric(url, "num_requests_running") == 0)
    until(lambda: bool(log.read_text()))
    truth = json.loads(log.read_text())
    assert truth["finish_reason"] == "abort"
    assert 0 < truth["output_tokens"] < 4000


def test_a_client_that_leaves_before_its_first_token_has_no_times_in_the_log(url: str, log: Path) -> None:
    with httpx.Client(timeout=0.05) as client, pytest.raises(httpx.ReadTimeout):
        client.post(f"{url}/v1/completions", json=STREAM | {"prompt": " a" * 4000})
    until(lambda: bool(log.read_text()))
    truth = json.loads(log.read_text())
    assert (truth["first_token_ns"], truth["last_token_ns"], truth["output_tokens"]) == (None, None, 0)


def test_tokens_arrive_after_the_times_in_the_log(url: str, log: Path) -> None:
    before_ns, arrivals_ns = time.time_ns(), []
    with httpx.stream("POST", f"{url}/v1/completions", json=STREAM | {"max_tokens": 10}) as response:
        arrivals_ns += [time.time_ns() for line in response.iter_lines() if line.startswith("data: {")]
    until(lambda: bool(log.read_text()))
    truth = json.loads(log.read_text())
    assert before_ns < truth["received_ns"] < truth["first_token_ns"] < arrivals_ns[0]
    assert arrivals_ns[0] < truth["last_token_ns"] < arrivals_ns[-1]


def test_the_request_id_of_the_client_is_used(url: str, log: Path) -> None:
    headers = {"X-Request-Id": "mine-1"}
    httpx.post(f"{url}/v1/completions", json=STREAM | {"stream": False, "max_tokens": 1}, headers=headers)
    until(lambda: bool(log.read_text()))
    assert json.loads(log.read_text())["request_id"] == "cmpl-mine-1"


def test_the_headers_come_before_the_first_token(url: str) -> None:
    with httpx.stream("POST", f"{url}/v1/completions", json=STREAM | {"prompt": " a" * 4000}) as response:
        assert response.status_code == 200
        assert metric(url, "generation_tokens_total") == 0


def test_a_connection_serves_one_request_after_another(url: str) -> None:
    with httpx.Client() as client:
        streams = [client.post(f"{url}/v1/completions", json=STREAM | {"max_tokens": 3}) for _ in range(3)]
    assert [stream.text.count('"choices":[{') for stream in streams] == [3, 3, 3]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0_even_while_it_streams(number: signal.Signals) -> None:
    with subprocess.Popen([*COMMAND, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        with httpx.stream("POST", f"{ready.split()[3]}/v1/completions", json=STREAM) as response:
            chunks = response.iter_raw()
            next(chunks)
            process.send_signal(number)
            assert process.wait(10) == 0
        assert process.stdout.read() == "", "one line is all it prints"
    assert ready.endswith("(preset a10-llama-3.2-3b, model meta-llama/Llama-3.2-3B-Instruct)\n")


def test_it_ends_when_its_parent_is_killed() -> None:
    code = (
        "import time; from shapebench.test_servers.simulator.process import running_simulator\n"
        "with running_simulator('fast') as url: print(url, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        assert httpx.get(f"{url}/health").status_code == 200
        os.kill(parent.pid, signal.SIGKILL)
    until(lambda: not listens(url))


def listens(url: str) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0


def test_it_is_stopped_at_the_end_of_the_block() -> None:
    with running_simulator("fast") as url:
        assert listens(url)
    assert not listens(url)


def test_a_preset_that_does_not_exist_is_said_to_whoever_starts_it(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ShapebenchError, match="ended before it was ready, with status 1"), running_simulator("h100"):
        pass
    assert "There is no preset 'h100'" in capfd.readouterr().err


@pytest.mark.parametrize("option", ["--fault", "--set"])
def test_a_word_that_it_does_not_know_is_refused_in_plain_words(option: str) -> None:
    ended = subprocess.run([*COMMAND, option, "rude=1"], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "'rude'" in ended.stderr


def test_faults_are_named_when_it_is_ready() -> None:
    command = [*COMMAND, "--port", "0", "--fault", "refused=0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().endswith(" with faults: refused=0.1\n")
        process.terminate()


def test_a_port_in_use_is_refused_in_plain_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"Cannot listen on port {port}" in ended.stderr


def test_a_log_that_cannot_be_written_is_refused_in_plain_words(tmp_path: Path) -> None:
    ended = subprocess.run(
        [*COMMAND, "--port", "0", "--log", str(tmp_path / "no" / "such")], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "Cannot write the log" in ended.stderr
