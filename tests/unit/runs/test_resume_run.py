"""An interrupted run: its kept levels, its files set aside, and its lock."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from shapebench.analysis.conclusion import Conclusion
from shapebench.analysis.early_stop import is_measured
from shapebench.analysis.measured_level import summarise_level
from shapebench.apis.profile import ServerProfile
from shapebench.load.plan import LevelPlan
from shapebench.load.run_level import plan
from shapebench.load.sample_writer import SampleStream
from shapebench.probe.known_server import record_facts
from shapebench.results import database
from shapebench.results.rows import tables
from shapebench.runs import run_file
from shapebench.runs.records import ServerFacts
from shapebench.runs.resume import (
    NothingMeasuredError,
    RunInProgressError,
    attempt,
    find,
    in_progress,
    run_lock,
    settle,
    unfinished,
)
from shapebench.runs.run_file import RunFile, RunNotFoundError, load, save
from shapebench.server_metrics.exposition import ITS_START
from tests.level_sample import FACTS, RUN_ID, closed_loop, level, request, run, verdict
from tests.stored_run import store_run

HOLDER = """
import sys
from pathlib import Path
from shapebench.runs.resume import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def interrupted(tmp_path: Path) -> RunFile:
    """A run of levels 1 and 2 whose process was killed while it measured the second."""
    content = RunFile(run(tmp_path), FACTS, (level(tmp_path, 1, closed_loop(1)),))
    save(content)
    part = SampleStream(tmp_path / "runs" / RUN_ID / "level-0002.parquet.0.arrow")
    part.add(request(0, 0.0, [0.1]))
    part.flush()
    return content


def resumed(content: RunFile) -> RunFile:
    with in_progress(content.run.spec, content, None) as begun:
        return begun


def names(content: RunFile) -> set[str]:
    return {file.name for file in content.run.folder.iterdir()} - {"run.json", "run.lock"}


# Which there are


def test_a_run_that_was_interrupted_is_listed_with_what_is_left(interrupted: RunFile) -> None:
    [listed] = unfinished(interrupted.run.spec.data, ())
    assert (listed["run_id"], listed["state"], listed["measured"], listed["to_measure"]) == (
        RUN_ID,
        "interrupted",
        [1],
        [2],
    )


def test_a_run_that_ended_in_its_probe_is_listed_as_not_probed(interrupted: RunFile) -> None:
    save(RunFile(interrupted.run))
    assert [listed["state"] for listed in unfinished(interrupted.run.spec.data, ())] == ["not probed"]


def test_a_run_that_is_being_measured_is_listed_as_in_progress(interrupted: RunFile) -> None:
    with run_lock(interrupted.run.folder):
        assert [listed["state"] for listed in unfinished(interrupted.run.spec.data, ())] == ["in progress"]


def test_a_run_that_is_in_the_results_is_not_listed(interrupted: RunFile) -> None:
    assert unfinished(interrupted.run.spec.data, [RUN_ID]) == []


# What stays, and what is set aside


def test_what_is_measured_stays_and_the_rest_is_to_be_measured(interrupted: RunFile) -> None:
    before = interrupted.run.samples_at(1).read_bytes()
    begun = resumed(interrupted)
    assert (begun.measured, begun.to_measure) == (interrupted.levels, (2,))
    assert begun.run.samples_at(1).read_bytes() == before


def test_what_a_killed_level_had_measured_is_set_aside_as_a_file_that_can_be_read(interrupted: RunFile) -> None:
    begun = resumed(interrupted)
    assert names(begun) == {"level-0001.parquet", "server-0001.parquet", "level-0002.interrupted-1.parquet"}
    assert pq.read_table(begun.run.folder / "level-0002.interrupted-1.parquet").num_rows == 1


def test_what_a_stopped_level_had_measured_is_set_aside_with_the_server_metrics(interrupted: RunFile) -> None:
    level(interrupted.run.spec.data, 2, closed_loop(2))
    begun = resumed(interrupted)
    aside = {"level-0002.interrupted-1.parquet", "server-0002.interrupted-1.parquet"}
    assert names(begun) == {"level-0001.parquet", "server-0001.parquet", *aside}


def test_a_level_that_was_stopped_is_measured_again(interrupted: RunFile) -> None:
    stopped = level(interrupted.run.spec.data, 2, closed_loop(2), error="stopped", stopped=True)
    content = replace(interrupted, levels=(*interrupted.levels, stopped))
    save(content)
    assert [kept.concurrency for kept in resumed(content).levels] == [1]


def test_a_level_that_failed_is_on_record_and_not_repeated(interrupted: RunFile) -> None:
    failed = level(interrupted.run.spec.data, 2, None, error="The measuring process was ended by SIGKILL")
    assert replace(interrupted, levels=(*interrupted.levels, failed)).to_measure == ()


def test_a_level_that_is_interrupted_again_overwrites_nothing(interrupted: RunFile) -> None:
    for _ in range(3):
        begun = resumed(interrupted)
        interrupted.run.samples_at(2).write_bytes(b"begun again")
    aside = {f"level-0002.interrupted-{n}.parquet" for n in (1, 2, 3)}
    assert {name for name in names(begun) if name.startswith("level-0002.i")} == aside


def test_a_launched_server_s_log_is_kept(interrupted: RunFile) -> None:
    for words in ("first", "second"):
        interrupted.run.server_log.write_text(words, encoding="utf-8")
        begun = resumed(interrupted)
    assert (begun.run.folder / "server.interrupted-1.log").read_text(encoding="utf-8") == "first"
    assert (begun.run.folder / "server.interrupted-2.log").read_text(encoding="utf-8") == "second"


def test_the_run_says_when_it_was_resumed(interrupted: RunFile) -> None:
    resumed(interrupted)
    begun = resumed(load(interrupted.run.spec.data, RUN_ID))
    first, second = begun.run.resumed_at
    assert interrupted.run.started_at < first < second
    assert load(interrupted.run.spec.data, RUN_ID) == begun


def test_a_run_that_was_killed_before_it_measured_was_not_resumed(tmp_path: Path) -> None:
    (tmp_path / "runs" / RUN_ID).mkdir(parents=True)
    content = RunFile(run(tmp_path))
    save(content)
    assert resumed(content).run.resumed_at == ()


def test_the_results_file_says_when_a_run_was_resumed_and_what_it_left_out(interrupted: RunFile) -> None:
    data, begun = interrupted.run.spec.data, resumed(interrupted)
    settled = replace(begun.run, skipped_levels=(2,))
    levels = [summarise_level(one) for one in begun.measured]
    database.load(data, RUN_ID, tables(settled, FACTS, levels, verdict(levels), Conclusion("Suits 1 user", ())))
    [row] = database.query(data, "SELECT resumes, resumed_at, skipped_levels FROM runs").to_pylist()
    resumed_at = [at.replace(tzinfo=None) for at in begun.run.resumed_at]
    assert row == {"resumes": 1, "resumed_at": resumed_at, "skipped_levels": [2]}


def test_a_run_that_was_never_broken_off_was_resumed_no_times(tmp_path: Path) -> None:
    store_run(tmp_path)
    [row] = database.query(tmp_path, "SELECT resumes, resumed_at, skipped_levels FROM runs").to_pylist()
    assert row == {"resumes": 0, "resumed_at": [], "skipped_levels": []}


def test_a_level_is_in_the_file_as_soon_as_it_is_measured(interrupted: RunFile) -> None:
    run_file.keep(interrupted.run, level(interrupted.run.spec.data, 2, closed_loop(2)))
    assert [kept.concurrency for kept in load(interrupted.run.spec.data, RUN_ID).measured] == [1, 2]


# Prompts


def planned(content: RunFile) -> LevelPlan:
    return plan(content.run, FACTS, 2, 1)


def prompts(told: LevelPlan) -> set[str]:
    return {told.mix.request(index, told.concurrency, warmup=0).prompt for index in range(20)}


def test_a_level_that_starts_anew_sends_no_prompt_that_the_server_has_met(interrupted: RunFile) -> None:
    sent = prompts(planned(interrupted))
    for tries in (2, 3):
        begun = resumed(interrupted)
        assert attempt(begun.run, 2) == tries
        assert not prompts(planned(begun)) & sent
        sent |= prompts(planned(begun))
        begun.run.samples_at(2).write_bytes(b"begun again")


def test_a_level_that_was_not_begun_sends_the_prompts_of_the_run_s_seed(interrupted: RunFile) -> None:
    before = plan(interrupted.run, FACTS, 3, 1)
    assert prompts(plan(resumed(interrupted).run, FACTS, 3, 1)) == prompts(before)


# The server


def probed_again(interrupted: RunFile, **found: Any) -> ServerFacts:
    before = replace(FACTS, fingerprint="fp-1", identity={"version": "0.11.0", ITS_START: "9:00"})
    save(replace(interrupted, facts=before))
    return record_facts(interrupted.run, replace(before, **found))


def test_the_first_probe_s_facts_are_the_run_s(tmp_path: Path) -> None:
    begun = run_file.begin(run(tmp_path).spec)
    save(RunFile(begun))
    assert record_facts(begun, FACTS) == FACTS
    assert load(tmp_path, begun.run_id).facts == FACTS


def test_a_server_that_has_become_another_is_held_against_what_the_first_probe_found(interrupted: RunFile) -> None:
    facts = probed_again(interrupted, version="0.12.0", identity={"version": "0.12.0"})
    assert facts.identity["version"] == facts.version == "0.11.0"
    assert facts.changes == ("version was 0.11.0 and is 0.12.0",)


def test_a_server_that_was_started_again_is_no_other_but_the_run_says_so(interrupted: RunFile) -> None:
    facts = probed_again(interrupted, identity={"version": "0.11.0", ITS_START: "9:30"})
    assert facts.identity == {"version": "0.11.0", ITS_START: "9:30"}
    assert facts.changes == ("its start was 9:00 and is 9:30",)


def test_another_fingerprint_is_noted(interrupted: RunFile) -> None:
    facts = probed_again(interrupted, fingerprint="fp-2")
    assert facts.changes == ("its fingerprint was fp-1 and is fp-2",)
    assert facts.fingerprint == "fp-1"  # which the answers of later levels are held against


def test_requests_go_on_as_the_first_profile_says(interrupted: RunFile) -> None:
    profiles = [ServerProfile(path) for path in ("/v1/chat/completions", "/v3/chat/completions")]
    save(replace(interrupted, facts=replace(FACTS, server_profile=profiles[0])))
    assert record_facts(interrupted.run, replace(FACTS, server_profile=profiles[1])).server_profile == profiles[0]
    assert load(interrupted.run.spec.data, RUN_ID).facts == replace(FACTS, server_profile=profiles[0])


def test_a_run_of_an_earlier_version_takes_the_profile_of_a_later_probe(interrupted: RunFile) -> None:
    profile = ServerProfile("/v1/chat/completions")
    assert probed_again(interrupted, server_profile=profile).server_profile == profile


def test_what_a_probe_finds_takes_no_level_from_the_file(interrupted: RunFile) -> None:
    assert probed_again(interrupted).changes == ()
    assert load(interrupted.run.spec.data, RUN_ID).levels == interrupted.levels


# Whose it is


@pytest.fixture
def holder(interrupted: RunFile) -> Iterator["subprocess.Popen[str]"]:
    """A process that has the run in hand."""
    command = [sys.executable, "-c", HOLDER, str(interrupted.run.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.slow
def test_a_run_that_another_process_measures_is_refused_and_the_process_named(
    interrupted: RunFile, holder: "subprocess.Popen[str]"
) -> None:
    with pytest.raises(RunInProgressError, match=f"by a process on this machine, number {holder.pid}"):
        find(interrupted.run.spec.data, RUN_ID, None)


@pytest.mark.slow
def test_a_run_whose_process_was_killed_is_free(interrupted: RunFile, holder: "subprocess.Popen[str]") -> None:
    holder.kill()
    holder.wait()
    assert find(interrupted.run.spec.data, RUN_ID, None) == interrupted


def test_a_run_is_held_while_it_is_in_hand_and_free_after_it(interrupted: RunFile) -> None:
    with in_progress(interrupted.run.spec, interrupted, None), pytest.raises(RunInProgressError):
        find(interrupted.run.spec.data, RUN_ID, None)
    assert find(interrupted.run.spec.data, RUN_ID, None)


def test_a_new_run_is_on_record_before_it_is_probed(tmp_path: Path) -> None:
    with in_progress(run(tmp_path).spec, None, "a-flow-run") as begun:
        assert load(tmp_path, begun.run.run_id) == begun
    assert (begun.facts, begun.to_measure, begun.run.flow_run_id) == (None, (1, 2), "a-flow-run")


def test_a_flow_run_finds_its_run(tmp_path: Path) -> None:
    begun = []
    for flow_run_id in ("one", "two", "three"):
        with in_progress(run(tmp_path).spec, None, flow_run_id) as new:
            begun.append(new)
    assert find(tmp_path, None, "two") == begun[1]


@pytest.mark.parametrize("flow_run_id", ["unknown", None])
def test_a_flow_run_that_has_none_begins_a_new_one(interrupted: RunFile, flow_run_id: str | None) -> None:
    assert find(interrupted.run.spec.data, None, flow_run_id) is None


def test_an_unknown_run_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match="There is no run nope"):
        settle(tmp_path, "nope", as_is=False)


def test_a_run_whose_later_levels_are_too_slow_is_measured(interrupted: RunFile) -> None:
    load = interrupted.run.spec.load.model_copy(update={"stop_below_query_tokens_per_s": 1_000.0})
    spec = interrupted.run.spec.model_copy(update={"load": load})
    content = replace(interrupted, run=replace(interrupted.run, spec=spec))
    save(content)
    assert (is_measured(interrupted), is_measured(content)) == (False, True)


def test_a_run_that_was_not_probed_is_not_measured(interrupted: RunFile) -> None:
    assert not is_measured(replace(interrupted, facts=None))


# As it is


def test_a_run_that_is_taken_as_it_is_leaves_out_what_was_not_measured(interrupted: RunFile) -> None:
    settled = settle(interrupted.run.spec.data, RUN_ID, as_is=True)
    assert (settled.run.skipped_levels, settled.to_measure, settled.measured) == ((2,), (), interrupted.levels)
    assert load(interrupted.run.spec.data, RUN_ID) == settled


def test_what_was_left_out_can_be_measured_after_all(interrupted: RunFile) -> None:
    settle(interrupted.run.spec.data, RUN_ID, as_is=True)
    assert settle(interrupted.run.spec.data, RUN_ID, as_is=False).to_measure == (2,)


def test_a_run_of_which_nothing_was_measured_cannot_be_taken_as_it_is(interrupted: RunFile) -> None:
    save(replace(interrupted, levels=()))
    with pytest.raises(NothingMeasuredError, match="No level of run"):
        settle(interrupted.run.spec.data, RUN_ID, as_is=True)


def test_a_run_that_is_measured_cannot_be_settled(interrupted: RunFile) -> None:
    with run_lock(interrupted.run.folder), pytest.raises(RunInProgressError):
        settle(interrupted.run.spec.data, RUN_ID, as_is=True)


def test_attempts_of_earlier_versions_count(tmp_path: Path) -> None:
    begun = run(tmp_path)
    begun.folder.mkdir(parents=True, exist_ok=True)
    for name in ("level-0004.broken-off-1.parquet", "level-0004.interrupted-2.parquet"):
        (begun.folder / name).touch()
    assert attempt(begun, 4) == 3
