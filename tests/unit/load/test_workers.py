"""The processes that measure, started from outside, against the simulator and the metronome."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from shapebench.apis.target import Credentials, PlannedRequest, Target
from shapebench.load.counters import Progress
from shapebench.load.http_connection import Answer
from shapebench.load.plan import LevelPlan
from shapebench.load.prompts import RequestMix
from shapebench.load.sample_writer import redact_sample, sample
from shapebench.load.workers import Outcome, run_workers
from shapebench.runs.prompt_sizing import PromptSizing, candidate_words
from shapebench.runs.samples_file import join
from shapebench.spec.lengths import Lengths
from shapebench.support.child_processes import stopped_on_error
from shapebench.test_servers.reference.process import running_reference_server
from shapebench.test_servers.simulator.presets import LLAMA
from shapebench.test_servers.simulator.process import running_simulator
from tests.route_server import Reply, serving

KEY = "sk-a-key-that-must-not-leak"
SECRET = Credentials(KEY)
ENDLESS = 1_000_000
TTFT_S = 2.0


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_simulator("fast", api_key=KEY) as address:
        yield address


@pytest.fixture(scope="module")
def sluggish() -> Iterator[str]:
    """A server whose first token takes long."""
    with running_reference_server(ttft_s=TTFT_S, gap_s=0.001) as address:
        yield address


def plan(url: str, tmp_path: Path, **changes: Any) -> LevelPlan:
    made = LevelPlan(
        target=Target(url=url, model=LLAMA, api="chat", enforce_output_tokens=True),
        mix=RequestMix(PromptSizing(candidate_words()), Lengths(50, 5), Lengths(20, 2), seed=1),
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
    children = psutil.Process().children()
    return [child for child in children if "shapebench.load" in (child.as_dict(["cmdline"])["cmdline"] or ())]


def rows(outcome: Outcome) -> list[dict[str, Any]]:
    assert outcome.samples is not None, outcome.error
    found: list[dict[str, Any]] = pq.read_table(outcome.samples).to_pylist()
    return found


def indices(outcome: Outcome) -> list[int]:
    return sorted(row["request_index"] for row in rows(outcome))


def wait_until(condition: Callable[[], bool], at_most_s: float = 60) -> None:
    end_s = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.02)


def ended(one: psutil.Process) -> bool:
    """Where nobody collects orphans, an ended one stays as a zombie."""
    return not one.is_running() or one.status() == psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_all_samples_are_in_the_file(url: str, tmp_path: Path) -> None:
    outcome = run_workers(plan(url, tmp_path), SECRET, nothing)
    assert outcome.error is None
    samples = rows(outcome)
    assert sorted(row["request_index"] for row in samples) == list(range(68))
    assert {row["error_kind"] for row in samples} == {None}
    assert sum(row["warmup"] for row in samples) == 8


@pytest.mark.slow
def test_every_token_is_in_the_samples(url: str, tmp_path: Path) -> None:
    for row in rows(run_workers(plan(url, tmp_path), SECRET, nothing)):
        assert sum(row["chunk_tokens"]) == row["output_tokens"] == row["planned_output_tokens"]


@pytest.mark.slow
def test_the_outcome_says_when_and_how_it_was_measured(url: str, tmp_path: Path) -> None:
    outcome = run_workers(plan(url, tmp_path), SECRET, nothing)
    assert outcome.wall_s > 0
    assert outcome.timestamps in ("user", "kernel")
    assert outcome.client["max_rss_bytes"] > 1e6
    assert outcome.client["cpu_share"] > 0
    first_ns = min(row["sent_at_ns"] for row in rows(outcome))
    assert outcome.started_at.timestamp() <= first_ns / 1e9


@pytest.mark.slow
def test_where_that_is_allowed_it_waits_for_no_other_process(url: str, tmp_path: Path) -> None:
    ask = "import os; os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))"
    allowed = subprocess.run([sys.executable, "-c", ask], capture_output=True, check=False).returncode == 0
    assert run_workers(plan(url, tmp_path), Credentials(), nothing).client["realtime"] == allowed


@pytest.mark.slow
def test_progress_arrives_and_ends_with_all_that_was_planned(url: str, tmp_path: Path) -> None:
    seen: list[Progress] = []
    run_workers(plan(url, tmp_path, requests=800), SECRET, seen.append)
    assert len(seen) > 1
    assert [step.completed for step in seen] == sorted(step.completed for step in seen)
    assert (seen[-1].completed, seen[-1].failed, seen[-1].planned) == (800, 0, 800)


@pytest.mark.slow
def test_without_its_key_every_sample_is_an_error_with_the_server_s_words(url: str, tmp_path: Path) -> None:
    outcome = run_workers(plan(url, tmp_path), Credentials(), nothing)
    assert outcome.error is None
    assert {row["error_message"] for row in rows(outcome)} == {"HTTP 401: Unauthorized"}


def test_a_key_that_the_server_repeats_is_redacted() -> None:
    target = Target("http://h", "m", "chat")
    answer = Answer(0, status=500, received=[b'{"error":{"message":"no such key: sk-123"}}'])
    done = redact_sample(
        sample(target, PlannedRequest(0, warmup=False, prompt="", input_tokens=1, output_tokens=1), 0, answer),
        ("sk-123",),
    )
    assert done.error_message == "HTTP 500: no such key: …"


@pytest.mark.slow
def test_the_key_is_neither_in_arguments_nor_environment_nor_file(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHAPEBENCH_API_KEY", KEY)
    readable: list[str] = []

    def look(_: Progress) -> None:
        readable.extend(repr(one.as_dict(["cmdline", "environ"])) for one in measuring())

    outcome = run_workers(plan(url, tmp_path), SECRET, look)
    assert any("SHAPEBENCH" in text or "PATH" in text for text in readable)
    assert not any(KEY in text for text in readable)
    assert {row["error_kind"] for row in rows(outcome)} == {None}, "the key reached the server"
    assert KEY.encode() not in (tmp_path / "level.parquet").read_bytes()
    assert KEY not in repr(pq.read_metadata(tmp_path / "level.parquet").metadata)


@pytest.mark.slow
def test_the_file_says_what_was_planned(url: str, tmp_path: Path) -> None:
    planned = plan(url, tmp_path)
    run_workers(planned, SECRET, nothing)
    assert LevelPlan.from_json(pq.read_metadata(planned.samples).metadata[b"plan"]) == planned


@pytest.mark.slow
def test_nothing_but_the_file_is_left(url: str, tmp_path: Path) -> None:
    run_workers(plan(url, tmp_path, processes=2), SECRET, nothing)
    assert [path.name for path in tmp_path.iterdir()] == ["level.parquet"]


# Several processes

PROCESSES = [1, 2, 3]
UNEVEN = {"concurrency": 7, "requests": 75, "warmup_requests": 14}


@pytest.fixture(scope="module")
def shared(url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Outcome]:
    """The same seven streams, measured by one process, by two and by three."""
    return {
        n: run_workers(plan(url, tmp_path_factory.mktemp("p"), processes=n, **UNEVEN), SECRET, nothing)
        for n in PROCESSES
    }


@pytest.mark.slow
@pytest.mark.parametrize("processes", PROCESSES)
def test_every_planned_request_is_sent_just_once(shared: dict[int, Outcome], processes: int) -> None:
    assert shared[processes].error is None
    assert indices(shared[processes]) == list(range(75 + 14))
    assert shared[processes].sent == 75


@pytest.mark.slow
@pytest.mark.measures_time
@pytest.mark.parametrize("processes", PROCESSES)
def test_every_stream_is_at_work(shared: dict[int, Outcome], processes: int) -> None:
    turns = Counter(row["stream"] for row in rows(shared[processes]))
    assert sorted(turns) == list(range(7))
    assert min(turns.values()) > 2


@pytest.mark.slow
@pytest.mark.parametrize("processes", PROCESSES[1:])
def test_each_stream_and_each_request_is_one_process_s(shared: dict[int, Outcome], processes: int) -> None:
    for row in rows(shared[processes]):
        assert row["stream"] % processes == row["request_index"] % 7 % processes


@pytest.mark.slow
@pytest.mark.parametrize("processes", PROCESSES)
def test_the_outcome_counts_the_processes(shared: dict[int, Outcome], processes: int) -> None:
    assert shared[processes].client["processes"] == processes


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
@pytest.mark.parametrize("requests", [None, 7, 75, 76])
def test_parts_share_streams_and_requests_without_gap_or_overlap(
    tmp_path: Path, processes: int, requests: int | None
) -> None:
    parts = plan("http://h", tmp_path, **{**UNEVEN, "requests": requests, "processes": processes}).parts()
    assert sorted(stream for part in parts for stream in part.streams) == list(range(7))
    sent = sorted(index for part in parts for index in islice(part.indices, 700))
    end = 700 if requests is None else requests + 14
    assert sent[:end] == list(range(end))


@pytest.mark.parametrize("processes", PROCESSES)
def test_parts_have_as_many_requests_for_each_stream(tmp_path: Path, processes: int) -> None:
    parts = plan("http://h", tmp_path, **{**UNEVEN, "requests": 70, "processes": processes}).parts()
    assert {len(list(part.indices)) / len(part.streams) for part in parts} == {12}


@pytest.mark.slow
def test_the_same_seed_sends_the_same_prompts_whatever_the_number_of_processes(tmp_path: Path) -> None:
    sent: dict[int, Counter[str]] = {}

    def answer(prompts: Counter[str]) -> Callable[[str, Any], Reply]:
        def answers(_: str, content: Any) -> Reply:
            prompts[content["messages"][0]["content"]] += 1
            return 500, "no more than a look at the prompt"

        return answers

    for processes in PROCESSES:
        with serving(answer(sent.setdefault(processes, Counter()))) as served:
            run_workers(plan(served.url, tmp_path, processes=processes, **UNEVEN), Credentials(), nothing)
    assert len(sent[1]) == 75 + 14
    assert sent[1] == sent[2] == sent[3]


@pytest.fixture(scope="module")
def begun(sluggish: str, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    changes = {"concurrency": 6, "requests": 6, "warmup_requests": 0, "processes": 3}
    return run_workers(plan(sluggish, tmp_path_factory.mktemp("begun"), **changes), Credentials(), nothing)


@pytest.mark.slow
def test_no_process_begins_before_the_moment_that_is_named_to_all(begun: Outcome) -> None:
    assert min(row["sent_at_ns"] for row in rows(begun)) / 1e9 >= begun.started_at.timestamp()


@pytest.mark.slow
@pytest.mark.measures_time
def test_all_streams_of_all_processes_begin_before_any_has_an_answer(begun: Outcome) -> None:
    sent_s = [row["sent_at_ns"] / 1e9 for row in rows(begun)]
    assert len(sent_s) == 6
    assert max(sent_s) < min(sent_s) + TTFT_S


# What befalls them


@pytest.mark.slow
def test_a_killed_process_is_in_the_outcome(url: str, tmp_path: Path) -> None:
    def kill(_: Progress) -> None:
        for one in measuring():
            one.kill()

    outcome = run_workers(plan(url, tmp_path, requests=ENDLESS), SECRET, kill)
    assert outcome.error == "The measuring process was ended by SIGKILL: it said nothing"


def kill_second_when_samples_are_written(planned: LevelPlan) -> Callable[[Progress], None]:
    """As soon as each has written some."""
    to_kill = [1]

    def look(_: Progress) -> None:
        if to_kill and all(part.part_samples.stat().st_size > 100_000 for part in planned.parts()):
            measuring()[to_kill.pop()].kill()

    return look


@pytest.fixture(scope="module")
def one_killed(url: str, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    planned = plan(url, tmp_path_factory.mktemp("killed"), requests=ENDLESS, processes=3)
    return run_workers(planned, SECRET, kill_second_when_samples_are_written(planned))


@pytest.mark.slow
def test_of_several_processes_the_one_that_was_killed_is_named(one_killed: Outcome) -> None:
    assert one_killed.error == "Measuring process 2 of 3 was ended by SIGKILL: it said nothing"


@pytest.mark.slow
def test_of_a_process_that_was_killed_the_samples_so_far_are_kept(one_killed: Outcome) -> None:
    kept = Counter(row["stream"] % 3 for row in rows(one_killed) if row["error_kind"] is None)
    assert min(kept[0], kept[1], kept[2]) > 0


@pytest.mark.slow
def test_where_one_was_killed_the_others_are_stopped(one_killed: Outcome) -> None:
    assert one_killed.sent < ENDLESS
    assert measuring() == []


@pytest.mark.slow
def test_what_a_killed_process_left_is_one_file(one_killed: Outcome) -> None:
    assert one_killed.samples is not None
    assert [path.name for path in one_killed.samples.parent.iterdir()] == ["level.parquet"]


@pytest.mark.slow
def test_a_lonely_stream_s_samples_are_written_while_it_measures(sluggish: str, tmp_path: Path) -> None:
    """One that is killed hours later has not lost its last hundred answers."""
    planned = plan(sluggish, tmp_path, concurrency=1, requests=ENDLESS, warmup_requests=0)

    def kill_when_some_are_written(progress: Progress) -> None:
        if progress.completed and progress.measured_s > 3 * TTFT_S:
            for one in measuring():
                one.kill()

    assert len(rows(run_workers(planned, Credentials(), kill_when_some_are_written))) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("processes", [1, 2])
def test_stopped_processes_keep_what_they_measured(
    url: str, tmp_path: Path, number: signal.Signals, processes: int
) -> None:
    def stop(progress: Progress) -> None:
        if progress.completed:
            for one in measuring():
                one.send_signal(number)

    outcome = run_workers(plan(url, tmp_path, requests=ENDLESS, processes=processes), SECRET, stop)
    assert outcome.error == "The measurement was stopped before all requests were sent."
    assert any(row["error_kind"] is None for row in rows(outcome))


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_whoever_stops_listening_stops_the_processes_and_keeps_what_was_measured(
    url: str, tmp_path: Path, processes: int
) -> None:
    def give_up(progress: Progress) -> None:
        if progress.completed:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_workers(plan(url, tmp_path, requests=ENDLESS, processes=processes), SECRET, give_up)
    assert measuring() == []
    assert pq.read_table(tmp_path / "level.parquet").num_rows > 0


@pytest.mark.slow
def test_a_plan_that_cannot_be_carried_out_is_in_the_outcome(url: str, tmp_path: Path) -> None:
    """What keeps everybody from the server is each request's error, as anything else that does."""
    target = Target(url=url.replace("http:", "https:"), model=LLAMA, api="chat", ca_file=str(tmp_path / "none.pem"))
    outcome = run_workers(plan(url, tmp_path, target=target), SECRET, nothing)
    assert {row["error_message"] for row in rows(outcome)} == {"[Errno 2] No such file or directory"}


@pytest.mark.slow
def test_samples_that_cannot_be_written_are_in_the_outcome(url: str, tmp_path: Path) -> None:
    outcome = run_workers(plan(url, tmp_path, samples=str(tmp_path / "none" / "level.parquet")), SECRET, nothing)
    assert outcome.samples is None
    assert "none/level" in (outcome.error or "")


@pytest.mark.slow
def test_where_one_cannot_start_the_level_ends_and_names_it(url: str, tmp_path: Path) -> None:
    planned = plan(url, tmp_path, processes=3)
    planned.parts()[1].part_samples.symlink_to(tmp_path / "none" / "there")
    outcome = run_workers(planned, SECRET, nothing)
    assert outcome.error is not None
    assert outcome.error.startswith("Measuring process 2 of 3 ended with code 1")
    assert "level.parquet.1.arrow" in outcome.error


@pytest.mark.slow
def test_a_level_without_samples_leaves_no_file(url: str, tmp_path: Path) -> None:
    planned = plan(url, tmp_path, processes=2)
    planned.parts()[1].part_samples.symlink_to(tmp_path / "none" / "there")
    outcome = run_workers(planned, SECRET, nothing)
    assert (outcome.samples, Path(planned.samples).exists()) == (None, False)


@pytest.mark.slow
def test_after_a_stop_no_other_level_begins_until_the_next_run(url: str, tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), stopped_on_error():
        of_the_run = copy_context()  # as a thread has it that goes on
        raise KeyboardInterrupt
    outcome = of_the_run.run(run_workers, plan(url, tmp_path), KEY, nothing)
    assert outcome.error == "The run was stopped before this level began."
    with stopped_on_error():
        assert run_workers(plan(url, tmp_path), SECRET, nothing).error is None


# The end that was asked for


@pytest.mark.slow
def test_a_duration_alone_ends_a_level(url: str, tmp_path: Path) -> None:
    outcome = run_workers(plan(url, tmp_path, requests=None, duration_s=0.5, processes=2), SECRET, nothing)
    assert outcome.error is None
    samples = rows(outcome)
    assert indices(outcome)[:8] == list(range(8))
    assert outcome.sent == sum(not row["warmup"] for row in samples) > 0
    assert {row["error_kind"] for row in samples} == {None}, "those in flight at its end were waited for"


@pytest.mark.slow
@pytest.mark.measures_time
def test_nothing_is_sent_after_the_duration(url: str, tmp_path: Path) -> None:
    sent_ns = [
        row["sent_at_ns"]
        for row in rows(run_workers(plan(url, tmp_path, requests=None, duration_s=0.5), SECRET, nothing))
        if not row["warmup"]
    ]
    assert max(sent_ns) - min(sent_ns) <= 0.5e9 + 1e8


@pytest.mark.slow
def test_a_level_is_measured_for_as_long_as_was_asked(sluggish: str, tmp_path: Path) -> None:
    outcome = run_workers(
        plan(sluggish, tmp_path, requests=None, duration_s=1.5 * TTFT_S, warmup_requests=0), Credentials(), nothing
    )
    assert outcome.wall_s >= 1.5 * TTFT_S


@pytest.mark.slow
def test_where_the_duration_comes_first_it_ends_the_level(url: str, tmp_path: Path) -> None:
    outcome = run_workers(plan(url, tmp_path, requests=ENDLESS, duration_s=0.5), SECRET, nothing)
    assert outcome.error is None
    assert 0 < outcome.sent < ENDLESS


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 3])
def test_where_the_requests_come_first_they_end_the_level(url: str, tmp_path: Path, processes: int) -> None:
    outcome = run_workers(plan(url, tmp_path, requests=61, duration_s=3600.0, processes=processes), SECRET, nothing)
    assert outcome.error is None
    assert indices(outcome) == list(range(69))


@pytest.mark.slow
def test_where_time_alone_ends_a_level_progress_knows_no_number_of_requests(url: str, tmp_path: Path) -> None:
    seen: list[Progress] = []
    run_workers(plan(url, tmp_path, requests=None, duration_s=0.5), SECRET, seen.append)
    assert {step.planned for step in seen} == {None}
    assert seen[-1].completed > 0


# Files that may be open at once

LIMITED = """
import resource, sys
from shapebench.apis.target import Credentials
from shapebench.load.plan import LevelPlan
from shapebench.load.workers import run_workers
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), int(sys.argv[3])))
print(run_workers(LevelPlan.from_json(sys.stdin.buffer.readline()), Credentials(sys.argv[1]), lambda _: None).error)
"""


def error_under_a_limit(planned: LevelPlan, soft: int, hard: int) -> str:
    command = [sys.executable, "-c", LIMITED, KEY, str(soft), str(hard)]
    return subprocess.run(command, input=planned.to_json(), stdout=subprocess.PIPE, check=True).stdout.decode().strip()


MANY = {"concurrency": 150, "requests": 150, "warmup_requests": 0}


@pytest.mark.slow
def test_a_soft_limit_on_open_files_is_raised(url: str, tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    planned = plan(url, tmp_path, **MANY)
    assert error_under_a_limit(planned, 100, hard) == "None"
    assert {row["error_kind"] for row in pq.read_table(planned.samples).to_pylist()} == {None}


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_hard_limit_on_open_files_that_is_too_low_is_an_error_with_the_remedy(
    url: str, tmp_path: Path, processes: int
) -> None:
    said = error_under_a_limit(plan(url, tmp_path, processes=processes, **MANY), 100, 100)
    assert f"{150 // processes} streams need {150 // processes + 64} open files, but the hard limit is 100" in said
    assert "ulimit -Hn" in said
    assert "--processes" in said


@pytest.mark.slow
def test_more_processes_get_by_with_a_lower_limit(url: str, tmp_path: Path) -> None:
    assert error_under_a_limit(plan(url, tmp_path, processes=5, **MANY), 100, 100) == "None"


# When whoever started them is gone

PARENT = """
import sys
from shapebench.apis.target import Credentials
from shapebench.load.plan import LevelPlan
from shapebench.load.workers import run_workers
plan = LevelPlan.from_json(sys.stdin.buffer.readline())
run_workers(plan, Credentials(sys.argv[1]), lambda seen: print(seen.completed, flush=True))
"""


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_when_their_parent_is_killed_they_stop_and_what_they_measured_can_be_read(
    url: str, tmp_path: Path, processes: int
) -> None:
    planned = plan(url, tmp_path, requests=ENDLESS, processes=processes)
    command = [sys.executable, "-c", PARENT, KEY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(planned.to_json() + b"\n")
        parent.stdin.flush()
        while int(parent.stdout.readline()) == 0:
            pass
        children = psutil.Process(parent.pid).children()
        os.kill(parent.pid, signal.SIGKILL)
        wait_until(lambda: all(ended(child) for child in children))
    assert len(children) == processes
    assert join([part.part_samples for part in planned.parts()], Path(planned.samples), {}) > 0
    kept = Counter(stream % processes for stream in pq.read_table(planned.samples)["stream"].to_pylist())
    assert len(kept) == processes


@pytest.mark.parametrize(
    ("message", "redacted"),
    [
        ("bad token geheim77 in X", "bad token … in X"),
        ("x-amz-security-token:IQoJb3JpZ2luX2VjE", "x-amz-security-token:…"),
    ],
    ids=["a token without its scheme", "a signed header"],
)
def test_a_part_of_a_header_that_the_server_repeats_is_redacted(message: str, redacted: str) -> None:
    secrets = Credentials(headers={"X-My": "Bearer geheim77"}).secrets
    request = PlannedRequest(0, warmup=False, prompt="", input_tokens=1, output_tokens=1)
    done = sample(Target("http://h", "m", "chat"), request, 0, Answer(0, fault=("reset", message)))
    assert redact_sample(done, secrets).error_message == redacted


def test_a_header_that_is_no_secret_leaves_messages_as_they_are() -> None:
    assert Credentials(headers={"X-Flag": "1"}).secrets == ()
