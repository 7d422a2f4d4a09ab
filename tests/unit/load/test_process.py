"""The process that measures, started from outside, against the simulator."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from shapebench.load.level import Progress
from shapebench.load.plan import LevelPlan, Target
from shapebench.load.process import Outcome, measure
from shapebench.load.samples import sample, without_secret
from shapebench.load.wire import Answer
from shapebench.simulator.presets import LLAMA
from shapebench.simulator.process import running
from shapebench.workload import Ask, Lengths, Mix, Sizing, candidate_words

pytestmark = pytest.mark.slow

KEY = "sk-a-key-that-must-not-leak"
ENDLESS = 1_000_000


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running("fast", api_key=KEY) as address:
        yield address


def plan(url: str, tmp_path: Path, **changes: Any) -> LevelPlan:
    made = LevelPlan(
        target=Target(url=url, model=LLAMA, api="chat", enforce_output_tokens=True),
        mix=Mix(Sizing(candidate_words()), Lengths(50, 5), Lengths(20, 2), seed=1),
        concurrency=4,
        requests=60,
        warmup_requests=8,
        request_timeout_s=60,
        samples=str(tmp_path / "level.parquet"),
    )
    return replace(made, **changes)


def nothing(_: Progress) -> None:
    """Nobody watches."""


def measuring() -> list[psutil.Process]:
    """The measuring processes that this one has started."""
    return [child for child in psutil.Process().children() if "shapebench.load" in child.cmdline()]


def rows(outcome: Outcome) -> list[dict[str, Any]]:
    assert outcome.samples is not None
    found: list[dict[str, Any]] = pq.read_table(outcome.samples).to_pylist()
    return found


def wait_until(condition: Callable[[], bool], at_most_s: float = 60) -> None:
    end_s = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.02)


def test_all_samples_are_in_the_file(url: str, tmp_path: Path) -> None:
    outcome = measure(plan(url, tmp_path), KEY, nothing)
    assert outcome.error is None
    samples = rows(outcome)
    assert sorted(row["request_index"] for row in samples) == list(range(68))
    assert {row["error_kind"] for row in samples} == {None}
    assert sum(row["warmup"] for row in samples) == 8


def test_every_token_is_in_the_samples(url: str, tmp_path: Path) -> None:
    for row in rows(measure(plan(url, tmp_path), KEY, nothing)):
        assert sum(row["chunk_tokens"]) == row["output_tokens"] == row["planned_output_tokens"]


def test_the_outcome_says_when_and_how_it_was_measured(url: str, tmp_path: Path) -> None:
    outcome = measure(plan(url, tmp_path), KEY, nothing)
    assert outcome.wall_s > 0
    assert outcome.timestamps in ("user", "kernel")
    assert outcome.client["max_rss_bytes"] > 1e6
    assert outcome.client["cpu_share"] > 0
    first_ns = min(row["sent_at_ns"] for row in rows(outcome))
    assert outcome.started_at.timestamp() <= first_ns / 1e9


def test_progress_arrives_and_ends_with_all_that_was_planned(url: str, tmp_path: Path) -> None:
    seen: list[Progress] = []
    measure(plan(url, tmp_path, requests=800), KEY, seen.append)
    assert len(seen) > 1
    assert [step.completed for step in seen] == sorted(step.completed for step in seen)
    assert (seen[-1].completed, seen[-1].failed, seen[-1].planned) == (800, 0, 800)


def test_without_its_key_every_sample_is_an_error_with_the_server_s_words(url: str, tmp_path: Path) -> None:
    outcome = measure(plan(url, tmp_path), None, nothing)
    assert outcome.error is None
    assert {row["error_message"] for row in rows(outcome)} == {"HTTP 401: Unauthorized"}


def test_a_key_that_the_server_repeats_is_blotted_out() -> None:
    answer = Answer(0, status=500, pieces=[(1, b'{"error":{"message":"no such key: sk-123"}}')])
    done = without_secret(sample(Ask(0, warmup=False, prompt="", input_tokens=1, output_tokens=1), 0, answer), "sk-123")
    assert done.error_message == "HTTP 500: no such key: …"


def test_the_key_is_neither_in_arguments_nor_environment_nor_file(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHAPEBENCH_API_KEY", KEY)
    readable: list[str] = []

    def look(_: Progress) -> None:
        [process] = measuring()
        readable.extend((repr(process.cmdline()), repr(process.environ())))

    outcome = measure(plan(url, tmp_path), KEY, look)
    assert len(readable) >= 2
    assert not any(KEY in text for text in readable)
    assert {row["error_kind"] for row in rows(outcome)} == {None}, "the key reached the server"
    assert KEY.encode() not in (tmp_path / "level.parquet").read_bytes()
    assert KEY not in repr(pq.read_metadata(tmp_path / "level.parquet").metadata)


def test_the_file_says_what_was_planned(url: str, tmp_path: Path) -> None:
    planned = plan(url, tmp_path)
    measure(planned, KEY, nothing)
    assert LevelPlan.from_json(pq.read_metadata(planned.samples).metadata[b"plan"]) == planned


def test_a_killed_process_is_in_the_outcome(url: str, tmp_path: Path) -> None:
    def kill(_: Progress) -> None:
        for process in measuring():
            process.kill()

    outcome = measure(plan(url, tmp_path, requests=ENDLESS), KEY, kill)
    assert outcome.samples is None
    assert outcome.error == "The measuring process was ended by SIGKILL: it said nothing"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_process_keeps_what_it_measured(url: str, tmp_path: Path, number: signal.Signals) -> None:
    def stop(progress: Progress) -> None:
        if progress.completed:
            for process in measuring():
                process.send_signal(number)

    outcome = measure(plan(url, tmp_path, requests=ENDLESS), KEY, stop)
    assert outcome.error == "The measurement was stopped before all requests were sent."
    assert any(row["error_kind"] is None for row in rows(outcome))


def test_whoever_stops_listening_stops_the_process(url: str, tmp_path: Path) -> None:
    def give_up(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(plan(url, tmp_path, requests=ENDLESS), KEY, give_up)
    assert measuring() == []
    assert pq.read_table(tmp_path / "level.parquet").num_rows > 0


def test_a_plan_that_cannot_be_carried_out_is_in_the_outcome(url: str, tmp_path: Path) -> None:
    target = Target(url=url.replace("http:", "https:"), model=LLAMA, api="chat", ca_file=str(tmp_path / "none.pem"))
    outcome = measure(plan(url, tmp_path, target=target), KEY, nothing)
    assert outcome.samples is None
    assert outcome.error is not None
    assert "ended with code 1" in outcome.error
    assert "No such file" in outcome.error


def test_samples_that_cannot_be_written_are_in_the_outcome(url: str, tmp_path: Path) -> None:
    outcome = measure(plan(url, tmp_path, samples=str(tmp_path / "none" / "level.parquet")), KEY, nothing)
    assert outcome.samples is None
    assert "none/level" in (outcome.error or "")


PARENT = """
import sys
from shapebench.load.plan import LevelPlan
from shapebench.load.process import measure
measure(LevelPlan.from_json(sys.stdin.buffer.readline()), sys.argv[1], lambda seen: print(seen.completed, flush=True))
"""


def test_when_its_parent_is_killed_it_stops_and_keeps_what_it_measured(url: str, tmp_path: Path) -> None:
    planned = plan(url, tmp_path, requests=ENDLESS)
    command = [sys.executable, "-c", PARENT, KEY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(planned.to_json() + b"\n")
        parent.stdin.flush()
        while int(parent.stdout.readline()) == 0:
            pass
        [process] = psutil.Process(parent.pid).children()
        os.kill(parent.pid, signal.SIGKILL)
        # Where nobody collects orphans, an ended one stays as a zombie.
        wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    assert pq.read_table(planned.samples).num_rows > 0
