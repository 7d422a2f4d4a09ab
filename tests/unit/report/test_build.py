"""From the results file to a report: what is there is drawn, and what is not is done without."""

import logging
import lzma
import shutil
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import pytest

from shapebench.analysis.measured_level import summarise_level
from shapebench.report.build import build_report
from shapebench.report.pages.run import plots
from shapebench.report.pages.run_content import Report
from shapebench.results import database
from shapebench.results.imports.taken import take
from shapebench.runs.run_file import RunNotFoundError
from tests.level_sample import RUN_ID, clean, closed_loop, level, refused, run_tables
from tests.unit.results.imports.import_samples import SAMPLES

EARLIER = sorted((Path(__file__).parents[2] / "results_of_earlier_versions").glob("*.duckdb.xz"))


def collected(data: Path, run_id: str = RUN_ID) -> Report:
    """What would be drawn."""
    with patch("shapebench.report.pages.run.write") as written:
        build_report(data, run_id)
    report: Report = written.call_args.args[0]
    return report


def drawn(report: Report) -> set[str]:
    return {plot.name for _, group in plots(report) for plot in group}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    samples = [*closed_loop(2, requests_each=20), refused(98, 1.0), refused(99, 2.0)]
    some_fail = summarise_level(level(folder, 2, samples))
    database.load(folder, RUN_ID, run_tables(folder, levels=[clean(folder, 1), some_fail]))
    return folder


@pytest.fixture
def data(stored: Path, tmp_path: Path) -> Path:
    return shutil.copytree(stored, tmp_path, dirs_exist_ok=True)


def test_everything_that_is_kept_of_a_run_is_collected(data: Path) -> None:
    detail = collected(data).detail
    assert [*detail.scaling["concurrency"]] == [1, 2]
    assert detail.requests.groupby("concurrency").size().to_dict() == {1: 5, 2: 40}
    assert {*detail.timeline["concurrency"]} == {*detail.server_timeline["concurrency"]} == {1, 2}
    assert [*detail.client["timestamps"]] == ["kernel", "kernel"]


def test_each_part_of_the_page_has_its_plots(data: Path) -> None:
    assert {"throughput-query", "scaling", "ttft-percentiles", "ttft-distribution", "timeline-0002", "errors"} <= drawn(
        collected(data)
    )


def test_failed_requests_are_counted_by_kind_with_the_message_of_most(data: Path) -> None:
    assert collected(data).detail.errors.to_dict("records") == [
        {"concurrency": 2, "kind": "connection", "requests": 2, "message": "refused"}
    ]


def test_warm_up_and_failed_requests_have_no_part_in_distributions(data: Path) -> None:
    assert collected(data).detail.requests["ttft_s"].notna().all()


def test_percentiles_of_ttft_and_of_gaps_have_intervals(data: Path) -> None:
    found = collected(data).detail.intervals
    assert {("ttft_s", "p50"), ("inter_token_s", "p50")} <= {*zip(found["metric"], found["stat"], strict=True)}
    assert (found["low_s"] <= found["high_s"]).all()


def test_without_the_parquet_files_only_gaps_lack_intervals(data: Path) -> None:
    for file in (data / "runs").rglob("level-*.parquet"):
        file.unlink()
    assert {*collected(data).detail.intervals["metric"]} == {"ttft_s"}


def test_a_parquet_file_that_is_cut_short_is_told_and_done_without(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = data / "runs" / RUN_ID / "level-0002.parquet"
    file.write_bytes(file.read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        found = collected(data).detail.intervals
    assert "level-0002.parquet cannot be read" in caplog.text
    assert {*found.loc[found["concurrency"] == 2, "metric"]} == {"ttft_s"}


def test_a_run_that_was_pruned_keeps_what_its_summaries_give(data: Path) -> None:
    database.prune(data, before=datetime(2030, 1, 1, tzinfo=UTC))
    report = collected(data)
    assert report.detail.requests.empty
    assert drawn(report) >= {"throughput-query", "throughput-ttft", "scaling", "ttft-percentiles"}
    assert not {name for name in drawn(report) if name.startswith("timeline") or name.endswith("distribution")}


def test_a_run_that_another_tool_measured_is_drawn_as_far_as_it_goes(tmp_path: Path) -> None:
    (run,) = take([SAMPLES / "llmperf"], tmp_path, "VM.GPU.A10.1")
    names = drawn(collected(tmp_path, run.run_id))
    assert {"throughput-query", "throughput-ttft"} <= names
    assert not {name for name in names if name.startswith("timeline")}


@pytest.mark.parametrize("file", EARLIER, ids=lambda file: file.name)
def test_runs_of_earlier_versions_are_drawn(tmp_path: Path, file: Path) -> None:
    (tmp_path / database.FILE_NAME).write_bytes(lzma.decompress(file.read_bytes()))
    for run in database.query(tmp_path, "FROM runs").to_pylist():
        assert {"throughput-query", "throughput-ttft"} <= drawn(collected(tmp_path, run["run_id"]))


def test_a_run_that_is_not_there_is_refused(data: Path) -> None:
    with pytest.raises(RunNotFoundError):
        build_report(data, "nothing")
