"""Runs that are killed and go on: in a shell by `shapebench resume`, under Prefect by a retry of the flow run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import httpx
import psutil
import pytest
import yaml

from cli.local_prefect.own_server import free_port
from shapebench.runs.resume import in_progress
from shapebench.spec.model import parse
from tasks.resume import MAX_STARTS, RepeatedInterruptionError, earlier_run
from tests import oci_lookalike
from tests.conftest import ROOT, BroughtUp, Finished, Shell, brought_up_in, ended
from tests.flow_runs import (
    Files,
    is_measured,
    level_files,
    processes,
    retry,
    sent_ns,
    spec,
    state,
    wait_until,
)
from tests.in_process import InProcess

pytestmark = pytest.mark.slow

LEVELS = [1, 2, 3, 4]
KILLED = 3
MEASURED = {f"level-{n:04}.parquet" for n in LEVELS if n < KILLED}


def rows(data: Path, sql: str) -> list[Any]:
    with duckdb.connect(str(data / "results.duckdb"), read_only=True) as connection:
        return connection.sql(sql).fetchall()


class Killed:
    """A run that was killed in the middle of a level, with what it had on disk then."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.at_ns = time.time_ns()
        [folder] = data.glob("runs/*/")
        self.run_id = folder.name
        self.files: Files = level_files(data)

    def assert_whole(self) -> None:
        """It is one complete run, which says that it was resumed, and no level that was measured was touched."""
        now = level_files(self.data)
        assert {name: now[name] for name in MEASURED} == {name: self.files[name] for name in MEASURED}
        assert set(now) - MEASURED == {f"level-{n:04}.parquet" for n in LEVELS if n >= KILLED} | {
            f"level-{KILLED:04}.interrupted-1.parquet"
        }
        first_ns, _ = sent_ns(self.data / "runs" / self.run_id / f"level-{KILLED:04}.parquet")
        assert first_ns > self.at_ns
        found = rows(self.data, "SELECT run_id, levels, resumes, skipped_levels FROM runs")
        assert found == [(self.run_id, LEVELS, 1, [])]
        of_levels = rows(self.data, "SELECT concurrency, completed > 0, error FROM raw.levels ORDER BY 1")
        assert of_levels == [(n, True, None) for n in LEVELS]
        page = self.data / "reports" / self.run_id / "index.html"
        assert "Interrupted and resumed 1 time." in page.read_text(encoding="utf-8")
        twice = "SELECT count(*) FROM requests GROUP BY concurrency, request_index HAVING count(*) > 1"
        assert rows(self.data, twice) == []


# In a shell


def spec_file(folder: Path, content: dict[str, Any]) -> str:
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def begun(shell: Shell, folder: Path, content: dict[str, Any], level: int) -> "subprocess.Popen[str]":
    """A run in the middle of a level."""
    process = shell.start("run", spec_file(folder, content))
    wait_until(lambda: process.poll() is not None or is_measured(Path(content["data"]), level))
    assert process.poll() is None, process.communicate()
    return process


def broken_off(shell: Shell, folder: Path, content: dict[str, Any], level: int) -> tuple[Killed, list[psutil.Process]]:
    """A run that is killed with no chance to tidy up; with the processes that it had started."""
    process = begun(shell, folder, content, level)
    started = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    return Killed(Path(content["data"])), started


@pytest.fixture(scope="module")
def killed(
    shell: Shell, here: InProcess, simulator: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Killed, Finished]:
    """A run that was killed, and what `shapebench resume` made of it."""
    folder = tmp_path_factory.mktemp("killed")
    run, started = broken_off(shell, folder, spec(simulator, folder / "data", LEVELS), KILLED)
    _, still_there = psutil.wait_procs(started, timeout=20)
    assert still_there == [], "the killed run left processes behind"
    done = here.run("resume", run.run_id, "--data", str(run.data), "--json")
    assert done.code == 0, done.stderr
    return run, done


def test_a_killed_run_is_resumed_to_one_complete_run(killed: tuple[Killed, Finished]) -> None:
    run, done = killed
    run.assert_whole()
    assert (done.json["run_id"], done.json["resumes"]) == (run.run_id, 1)
    assert [level["concurrency"] for level in done.json["levels"]] == LEVELS


def test_resume_says_what_was_measured_before_and_what_is_measured_again(killed: tuple[Killed, Finished]) -> None:
    said = " ".join(killed[1].stderr.split())
    assert f"resuming run {killed[0].run_id}; measured before: 1 and 2; interrupted, measured again: 3" in said
    assert said.count("measured before") == 1 + len(MEASURED)  # the bars of the levels


@pytest.mark.nightly
def test_a_finished_run_is_not_measured_again_but_all_that_follows_is_done(
    killed: tuple[Killed, Finished], here: InProcess
) -> None:
    run, done = killed
    before = level_files(run.data)
    shutil.rmtree(run.data / "reports")
    again = here.run("resume", run.run_id, "--data", str(run.data), "--json")
    assert again.code == 0, again.stderr
    assert "nothing is left to measure" in " ".join(again.stderr.split())
    assert level_files(run.data) == before
    assert Path(again.json["report"]).exists()
    assert again.json["levels"] == done.json["levels"]
    run.assert_whole()


ENDLESS: dict[str, Any] = {"duration_s": None, "requests": 1_000_000}


def unfinished(here: InProcess, data: str) -> list[tuple[str, str, list[int]]]:
    listed = here.run("runs", "--unfinished", "--data", data, "--json").json
    return [(run["run_id"], run["state"], run["to_measure"]) for run in listed]


@pytest.mark.nightly
def test_what_was_measured_can_be_stored_as_it_is(
    shell: Shell, here: InProcess, simulator: str, tmp_path: Path
) -> None:
    content = spec(simulator, tmp_path / "data", [1, 2, 3])
    run, _ = broken_off(shell, tmp_path, content, 2)
    assert unfinished(here, content["data"]) == [(run.run_id, "interrupted", [2, 3])]
    done = here.run("resume", run.run_id, "--data", content["data"], "--as-is", "--json")
    assert done.code == 0, done.stderr
    assert unfinished(here, content["data"]) == []
    assert rows(run.data, "SELECT levels, skipped_levels, resumes FROM runs") == [([1], [2, 3], 0)]
    assert here.run("resume", run.run_id, "--data", content["data"]).code == 0
    assert rows(run.data, "SELECT levels, skipped_levels, resumes FROM runs") == [([1, 2, 3], [], 1)]


@pytest.mark.nightly
def test_a_run_that_is_being_measured_is_refused(shell: Shell, here: InProcess, simulator: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    process = begun(shell, tmp_path, spec(simulator, data, [2], **ENDLESS), 2)
    try:
        [folder] = data.glob("runs/*/")
        refused = here.run("resume", folder.name, "--data", str(data))
        assert (refused.code, "Traceback" in refused.stderr) == (1, False)
        assert f"Run {folder.name} is being measured by a process on this machine, number " in refused.stderr
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)


@pytest.mark.nightly
def test_a_run_that_was_stopped_goes_on(shell: Shell, here: InProcess, simulator: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    process = begun(shell, tmp_path, spec(simulator, data, LEVELS), KILLED)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    run = Killed(data)
    done = here.run("resume", run.run_id, "--data", str(data), "--json")
    assert done.code == 0, done.stderr
    run.assert_whole()


STAYED = "SELECT concurrency, passed FROM findings WHERE expectation = 'the_server_stayed_the_same' ORDER BY 1"


def served(shell: Shell, port: int, *options: str) -> "subprocess.Popen[str]":
    """A server at an address that others have after it."""
    process = shell.start("simulate", "--preset", "fast", "--port", str(port), *options)
    wait_until(lambda: answers(port))
    return process


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.nightly
@pytest.mark.parametrize(("changed", "stayed"), [([], True), (["--set", "max_model_len=2048"], False)])
def test_a_run_that_meets_another_server_says_so_and_a_restart_alone_is_none(
    shell: Shell, here: InProcess, tmp_path: Path, changed: list[str], stayed: bool
) -> None:
    port = free_port()
    with served(shell, port) as first:
        content = spec(f"http://127.0.0.1:{port}", tmp_path / "data", [1, 2])
        run, _ = broken_off(shell, tmp_path, content, 2)
        first.terminate()
    with served(shell, port, *changed) as second:
        done = here.run("resume", run.run_id, "--data", content["data"], "--json")
        second.terminate()
    assert done.code == 0, done.stderr
    assert rows(run.data, STAYED) == [(1, True), (2, stayed)]
    [(facts,)] = rows(run.data, "SELECT facts FROM runs")
    assert any(words.startswith("model was") for words in json.loads(facts)["changes"]) is not stayed


@pytest.mark.nightly
def test_a_launched_server_dies_with_the_run_and_is_launched_again(
    shell: Shell, here: InProcess, tmp_path: Path
) -> None:
    port = free_port()
    content = spec(f"http://127.0.0.1:{port}", tmp_path / "data", [1, 2])
    launch = f"{sys.executable} -m shapebench.test_servers.simulator --preset fast --port {port}"
    content["endpoint"]["launch"] = launch
    run, started = broken_off(shell, tmp_path, content, 2)
    _, still_there = psutil.wait_procs(started, timeout=30)
    assert (still_there, answers(port)) == ([], False)
    done = here.run("resume", run.run_id, "--data", content["data"], "--json")
    assert done.code == 0, done.stderr
    assert rows(run.data, STAYED) == [(1, True), (2, True)]
    assert (run.data / "runs" / run.run_id / "server.interrupted-1.log").exists()


@pytest.mark.nightly
def test_a_run_whose_report_could_not_be_sent_is_finished_without_measuring(
    here: InProcess, simulator: str, tmp_path: Path
) -> None:
    with oci_lookalike.running() as storage:
        key = oci_lookalike.new_key()
        oci_lookalike.register(storage, key)
        target = {
            "bucket": "reports",
            "service_endpoint": storage.endpoint,
            "config_file": str(oci_lookalike.write_config(tmp_path, key)),
        }
        bucket = storage.buckets.pop("reports")
        content = {**spec(simulator, tmp_path / "data", [2]), "publish": {"oci": target}}
        failed = here.run("run", spec_file(tmp_path, content), "--json")
        before = level_files(tmp_path / "data")
        storage.buckets["reports"] = bucket
        done = here.run("resume", failed.json["run_id"], "--data", content["data"], "--json")
        assert (failed.code, done.code) == (1, 0), done.stderr
        assert f"shapebench/{failed.json['run_id']}/index.html" in bucket
    assert level_files(tmp_path / "data") == before
    assert done.json["resumes"] == 0


def test_an_unknown_run_is_refused(here: InProcess, tmp_path: Path) -> None:
    refused = here.run("resume", "nope", "--data", str(tmp_path))
    assert (refused.code, "There is no run nope" in refused.stderr) == (1, True)


# Under Prefect


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BroughtUp]:
    """A server and a worker that may be killed."""
    here = brought_up_in(tmp_path_factory.mktemp("own"))
    try:
        done = here.up()
        assert done.code == 0, done.stdout + done.stderr
        yield here
    finally:
        here.make("down")


def mark(own: BroughtUp) -> str:
    return f"worker {own.environment['PREFECT_HOME']}"


def in_the_middle(own: BroughtUp, url: str, data: Path) -> str:
    """A flow run of a deployment, in the middle of a level."""
    run = own.start("ad-hoc", {"spec": spec(url, data, LEVELS)})
    wait_until(lambda: is_measured(data, KILLED))
    return run


def kill(own: BroughtUp, *words: str) -> None:
    """Those whose commands have one of these words; what they have started ends by itself."""
    for process in [process for word in words for process in processes(mark(own), word)]:
        process.kill()
    wait_until(lambda: not processes(mark(own), "shapebench.load"), at_most_s=20)


def worker_has_noticed(own: BroughtUp, run: str) -> bool:
    """It says a second time that a run has crashed, which would hit a retry that comes between; then it says why."""
    wanted = {"logs": {"flow_run_id": {"any_": [run.rpartition("/")[2]]}}}
    said = httpx.post(f"{own.api}/logs/filter", json=wanted).json()
    return any(line["name"] == "prefect.flow_runs.worker" and "memory allocation" in line["message"] for line in said)


@dataclass(frozen=True)
class Retried:
    """A flow run whose process was killed, and which was retried."""

    run: str
    killed: Killed
    crashed_as: str
    ended_as: str


@pytest.fixture(scope="module")
def retried(own: BroughtUp, simulator: str, tmp_path_factory: pytest.TempPathFactory) -> Retried:
    data = tmp_path_factory.mktemp("retried")
    run = in_the_middle(own, simulator, data)
    kill(own, "prefect.engine")
    killed = Killed(data)
    wait_until(lambda: worker_has_noticed(own, run))
    crashed_as = state(run)
    return Retried(run, killed, crashed_as, end_of_retry(run))


def end_of_retry(run: str) -> str:
    retry(run)
    wait_until(lambda: state(run) != "SCHEDULED")
    return str(ended(run)["type"])


@pytest.mark.nightly
def test_a_flow_run_whose_process_was_killed_goes_on_when_it_is_retried(retried: Retried) -> None:
    assert (retried.crashed_as, retried.ended_as) == ("CRASHED", "COMPLETED")
    retried.killed.assert_whole()


@pytest.mark.nightly
def test_a_finished_flow_run_that_is_retried_measures_nothing(retried: Retried) -> None:
    before = level_files(retried.killed.data)
    assert end_of_retry(retried.run) == "COMPLETED"
    assert level_files(retried.killed.data) == before


@pytest.mark.nightly
def test_a_flow_run_whose_worker_alone_was_killed_loses_nothing(own: BroughtUp, simulator: str, tmp_path: Path) -> None:
    """It ends at the next line that it logs, since nobody reads what it says; what it has measured stays."""
    run = in_the_middle(own, simulator, tmp_path)
    for process in processes(mark(own), "worker"):
        process.kill()
    assert ended(run)["type"] == "CRASHED"
    before = level_files(tmp_path)
    assert own.up().code == 0
    assert end_of_retry(run) == "COMPLETED"
    after = level_files(tmp_path)
    assert {name: after[name] for name in MEASURED} == {name: before[name] for name in MEASURED}
    assert rows(tmp_path, "SELECT levels, resumes FROM runs") == [(LEVELS, 1)]


@pytest.mark.nightly
def test_a_killed_run_can_be_resumed_by_another_flow_run(own: BroughtUp, simulator: str, tmp_path: Path) -> None:
    in_the_middle(own, simulator, tmp_path)
    kill(own, "prefect.engine")
    killed = Killed(tmp_path)
    elsewhere = {**spec("http://127.0.0.1:1", tmp_path, [1]), "data": str(tmp_path)}
    run = own.start("ad-hoc", {"spec": elsewhere, "resume": killed.run_id})
    assert ended(run)["type"] == "COMPLETED"
    killed.assert_whole()


NOTICED_S = 45  # in place of the minutes in the example: more than a heartbeat of prefect.yaml


@pytest.fixture
def automations(own: BroughtUp, tmp_path: Path) -> Iterator[None]:
    """Those of examples/pick-up.yaml."""
    text = (ROOT / "examples" / "pick-up.yaml").read_text(encoding="utf-8")
    assert "within: 300 " in text
    file = tmp_path / "pick-up.yaml"
    file.write_text(text.replace("within: 300 ", f"within: {NOTICED_S} "), encoding="utf-8")
    command = [sys.executable, "-m", "prefect", "automation", "create", "--from-file", str(file)]
    subprocess.run(command, env={**own.environment, "PREFECT_API_URL": own.api}, check=True, capture_output=True)
    yield
    for automation in httpx.post(f"{own.api}/automations/filter", json={}).json():
        httpx.delete(f"{own.api}/automations/{automation['id']}").raise_for_status()


@pytest.mark.nightly
def test_a_flow_run_that_died_with_its_worker_is_picked_up_by_automations(
    own: BroughtUp, automations: None, simulator: str, tmp_path: Path
) -> None:
    run = in_the_middle(own, simulator, tmp_path)
    kill(own, "worker", "prefect.engine")
    killed = Killed(tmp_path)
    assert state(run) == "RUNNING"  # nobody was left to say otherwise
    assert own.up().code == 0
    wait_until(lambda: state(run) in ("COMPLETED", "FAILED"), at_most_s=240)
    assert state(run) == "COMPLETED"
    killed.assert_whole()


@pytest.mark.nightly
def test_a_flow_run_that_is_broken_off_time_after_time_is_not_picked_up_for_ever(
    simulator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = parse(spec(simulator, tmp_path, [1]))
    with in_progress(made, None, "a-flow-run") as begun:
        pass
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__ID", "a-flow-run")
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT", str(MAX_STARTS))
    assert earlier_run(made, "") == begun
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT", str(MAX_STARTS + 1))
    with pytest.raises(RepeatedInterruptionError, match=f"Run {begun.run.run_id} was interrupted {MAX_STARTS} times"):
        earlier_run(made, "")
