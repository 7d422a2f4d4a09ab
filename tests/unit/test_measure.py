"""From the spec to what the measuring processes are told, and back to a level's record."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shapebench.load.plan import LevelPlan
from shapebench.load.tally import Progress
from shapebench.measure import measure, plan
from shapebench.metrics import read
from shapebench.records import Calibration, Facts, LevelRun
from shapebench.runs import begin
from shapebench.simulator.presets import LLAMA
from shapebench.simulator.process import running
from shapebench.spec import parse
from shapebench.workload import Sizing, candidate_words

FACTS = Facts(
    server="vllm",
    version="0.32.0",
    max_model_len=4096,
    models=(LLAMA,),
    fingerprint=None,
    sizing=Sizing(candidate_words()),
    probe_e2e_s=0.5,
)
SHORT = {"input_tokens": 50, "output_tokens": "20,2"}


def planned(tmp_path: Path, concurrency: int = 4, processes: int = 1, **load: Any) -> LevelPlan:
    endpoint = {"url": "http://127.0.0.1:8000", "model": LLAMA}
    run = begin(parse({"endpoint": endpoint, "load": {"levels": [concurrency], **load}, "data": tmp_path}))
    return plan(run, FACTS, concurrency, processes)


def test_each_stream_has_thirty_requests_where_nothing_else_is_said(tmp_path: Path) -> None:
    told = planned(tmp_path)
    assert (told.requests, told.duration_s, told.until_precise) == (120, None, None)


def test_each_stream_has_its_warm_up(tmp_path: Path) -> None:
    assert planned(tmp_path, warmup_requests_per_stream=3).warmup_requests == 12


def test_a_duration_alone_plans_no_number_of_requests(tmp_path: Path) -> None:
    told = planned(tmp_path, duration_s=2.5)
    assert (told.requests, told.duration_s) == (None, 2.5)


def test_all_limits_are_passed_on(tmp_path: Path) -> None:
    told = planned(tmp_path, requests=9, duration_s=2, until_precise="2%", request_timeout_s=7, stall_timeout_s=3)
    assert (told.requests, told.duration_s, told.until_precise) == (9, 2, 0.02)
    assert (told.request_timeout_s, told.stall_timeout_s) == (7, 3)


def test_the_samples_of_a_level_lie_in_the_run_s_folder(tmp_path: Path) -> None:
    told = planned(tmp_path, concurrency=10_000)
    assert Path(told.samples).relative_to(tmp_path / "runs").parts[1:] == ("level-10000.parquet",)


def test_a_plan_reaches_its_process_as_it_is(tmp_path: Path) -> None:
    told = planned(tmp_path, processes=3, duration_s=2, until_precise="2%", stall_timeout_s=3).parts()[2]
    assert LevelPlan.from_json(told.to_json()) == told


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running("fast") as address:
        yield address


CALIBRATION = Calibration(4, 2, requests=7)


def measured(url: str, data: Path, calibration: Calibration = CALIBRATION, **load: Any) -> LevelRun:
    load = {"levels": [4], "requests": 20, **load}
    run = begin(parse({"endpoint": {"url": url, "model": LLAMA}, "workload": SHORT, "load": load, "data": data}))
    return measure(run, FACTS, calibration, ignore)


def ignore(_: Progress) -> None:
    """Nobody watches."""


@pytest.mark.slow
def test_a_level_is_on_record_with_what_was_planned_and_how_it_was_tried_out(url: str, tmp_path: Path) -> None:
    level = measured(url, tmp_path)
    assert (level.error, level.concurrency, level.planned_requests) == (None, 4, 20)
    assert level.calibration == CALIBRATION


@pytest.mark.slow
def test_the_level_runs_in_as_many_processes_as_the_calibration_found(url: str, tmp_path: Path) -> None:
    assert measured(url, tmp_path).client["processes"] == 2


@pytest.mark.slow
def test_what_was_not_tried_out_is_not_on_record(url: str, tmp_path: Path) -> None:
    assert measured(url, tmp_path, Calibration(4, 1), calibrate=False).calibration is None


@pytest.mark.slow
def test_where_time_ended_the_level_those_sent_are_all_that_there_were_to_be(url: str, tmp_path: Path) -> None:
    level = measured(url, tmp_path, requests=None, duration_s=0.5)
    assert level.error is None
    assert level.samples is not None
    assert level.planned_requests == (~read(level.samples).requests["warmup"]).sum() > 0


@pytest.mark.slow
def test_a_time_that_was_not_needed_leaves_the_number_that_was_planned(url: str, tmp_path: Path) -> None:
    assert measured(url, tmp_path, duration_s=3600).planned_requests == 20


@pytest.mark.slow
def test_a_level_that_broke_off_keeps_the_number_that_was_planned(url: str, tmp_path: Path) -> None:
    load = {"levels": [4], "requests": 5000, "duration_s": 3600}
    run = begin(parse({"endpoint": {"url": url, "model": LLAMA}, "load": load, "data": tmp_path}))
    (run.folder / "level-0004.parquet.1.arrow").symlink_to(tmp_path / "none" / "there")
    level = measure(run, FACTS, CALIBRATION, ignore)
    assert level.error is not None
    assert level.planned_requests == 5000


@pytest.mark.slow
def test_how_precise_it_was_to_become_is_on_record(url: str, tmp_path: Path) -> None:
    assert measured(url, tmp_path, until_precise="5%").until_precise == 0.05
