"""From records to tables: each row is what the records say, and what the view will show."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from shapebench.analysis.measured_level import MeasuredLevel, level_frame, summarise_level
from shapebench.results import database, rows
from shapebench.runs.records import Artifact
from shapebench.spec import metric_definitions
from tests.level_sample import RUN_ID, STARTED_AT, clean, closed_loop, level, refused, run_tables, server_says, verdict


def test_a_level_counts_its_measured_requests_only(tmp_path: Path) -> None:
    both = [*closed_loop(2), refused(99, 6.0), refused(98, 0.0, warmup=True)]
    found = summarise_level(level(tmp_path, 2, both))
    assert (found.completed, found.failed) == (10, 1)


def test_a_level_without_samples_has_neither_requests_nor_metrics(tmp_path: Path) -> None:
    found = summarise_level(level(tmp_path, 2, None))
    assert (found.samples, found.completed, found.failed, found.metrics) == (None, 0, 0, ())


def test_every_level_has_a_row_in_order_whether_it_has_samples_or_not(tmp_path: Path) -> None:
    levels = [clean(tmp_path, 8), summarise_level(level(tmp_path, 2, None)), clean(tmp_path, 1)]
    summary = level_frame(levels, verdict(levels))
    assert list(summary["concurrency"]) == [1, 2, 8]
    assert set(metric_definitions.COLUMNS) <= set(summary.columns)
    assert summary.loc[1, list(metric_definitions.COLUMNS)].isna().all()


def test_the_summary_before_storing_is_what_the_view_shows_after(tmp_path: Path) -> None:
    levels = [clean(tmp_path, 1), clean(tmp_path, 2), summarise_level(level(tmp_path, 4, None))]
    before = level_frame(levels, verdict(levels))
    database.load(tmp_path, RUN_ID, run_tables(tmp_path, levels=levels))
    after = database.query(tmp_path, "FROM level_summary").to_pandas()
    common = [
        name for name in after.columns if name in before.columns and name != "started_at"
    ]  # the run's, the level's
    assert set(after.columns) - set(common) == {"started_at", "model", "shape", "workload"}
    pd.testing.assert_frame_equal(before[common], after[common], check_dtype=False)


def test_a_level_of_requests_that_failed_stands_beside_one_of_requests_that_did_not(tmp_path: Path) -> None:
    levels = [clean(tmp_path, 1), summarise_level(level(tmp_path, 2, [refused(0, 0.0), refused(1, 0.1)]))]
    requests = run_tables(tmp_path, levels=levels)["requests"].to_pylist()
    assert {(r["concurrency"], r["http_status"], r["error_kind"]) for r in requests} == {
        (1, 200, None),
        (2, None, "connection"),
    }


def test_a_level_that_holds_no_request_stands_beside_one_that_does(tmp_path: Path) -> None:
    levels = [summarise_level(level(tmp_path, 1, [])), clean(tmp_path, 2)]
    assert {r["concurrency"] for r in run_tables(tmp_path, levels=levels)["requests"].to_pylist()} == {2}


def test_without_any_samples_there_is_no_table_of_requests(tmp_path: Path) -> None:
    assert "requests" not in run_tables(tmp_path, levels=[summarise_level(level(tmp_path, 1, None))])


def test_warm_up_and_failed_requests_are_rows(tmp_path: Path) -> None:
    levels = [summarise_level(level(tmp_path, 2, [*closed_loop(2), refused(99, 6.0)]))]
    requests = run_tables(tmp_path, levels=levels)["requests"].to_pylist()
    assert len(requests) == 13
    assert sum(request["warmup"] for request in requests) == 2
    assert [request["error_message"] for request in requests if request["error_kind"]] == ["refused"]


def test_the_same_records_give_the_same_tables(tmp_path: Path) -> None:
    assert run_tables(tmp_path) == run_tables(tmp_path)


def test_a_run_is_finished_when_its_last_level_is(tmp_path: Path) -> None:
    levels = [clean(tmp_path, 2), clean(tmp_path, 1)]
    (row,) = run_tables(tmp_path, levels=levels)["runs"].to_pylist()
    assert row["finished_at"] == (STARTED_AT + timedelta(seconds=20 + 6.5)).replace(tzinfo=None)


def test_a_runs_row_holds_what_was_asked_and_of_whom(tmp_path: Path) -> None:
    (row,) = run_tables(tmp_path)["runs"].to_pylist()
    assert (row["run_id"], row["model"], row["shape"], row["workload"]) == (RUN_ID, "m", "VM.GPU.A10.1", "chat")
    assert (row["server"], row["server_version"], row["verdict"]) == ("vllm", "0.11.0", "valid")
    assert json.loads(row["spec"])["load"]["levels"] == [1, 2]
    assert json.loads(row["facts"])["sizing"]["words"] == 2  # how many, not which
    assert json.loads(row["versions"]) == {"python": "3.11.9"}
    assert json.loads(row["machine"]) == {"cpus": 2}


def test_a_level_names_its_samples_as_they_lie_in_the_runs_folder(tmp_path: Path) -> None:
    levels = [clean(tmp_path, 1), summarise_level(level(tmp_path, 2, None))]
    assert run_tables(tmp_path, levels=levels)["levels"]["samples"].to_pylist() == ["level-0001.parquet", None]


def artifact(published_at: datetime) -> Artifact:
    return Artifact(RUN_ID, "index.html", "file:///p/index.html", 3, "0" * 32, "text/html", published_at)


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=2))])
def test_times_are_utc_whatever_their_zone(zone: timezone) -> None:
    (row,) = rows.artifact_tables([artifact(STARTED_AT.astimezone(zone))])["artifacts"].to_pylist()
    assert row["published_at"] == datetime(2026, 7, 14, 9, 30)  # noqa: DTZ001 - as the file holds it


def test_every_metric_of_a_level_is_a_row(tmp_path: Path) -> None:
    found: MeasuredLevel = clean(tmp_path, 2)
    table: pa.Table = run_tables(tmp_path, levels=[found])["metrics"]
    of_long_levels = {"ttft_precision", "throughput_precision"}  # of which five requests a stream are too few to tell
    withheld = {metric_definitions.column_name(row.metric, row.stat) for row in found.withheld}
    names = {metric_definitions.column_name(r["metric"], r["stat"]) for r in table.to_pylist()}
    of_some = {"draft_acceptance_rate", "acceptance_length_tokens", "servers_answered", "reasoning_tokens"}
    told = {name for name in metric_definitions.COLUMNS if not name.startswith(tuple(of_some))}
    assert names == told - of_long_levels - withheld


def test_percentiles_of_too_few_requests_are_withheld(tmp_path: Path) -> None:
    withheld = {row.stat for row in clean(tmp_path, 2).withheld if row.metric == "ttft_s"}
    assert withheld == {"p25", "p75", "p90", "p95", "p99"}  # of ten requests there is a median only


def test_a_percentile_of_just_enough_requests_is_claimed(tmp_path: Path) -> None:
    hundred = summarise_level(level(tmp_path, 2, closed_loop(2, requests_each=50)))
    assert {row.stat for row in hundred.withheld if row.metric == "ttft_s"} == {"p99"}


def test_what_the_server_said_is_there_but_for_buckets_between_the_ends(tmp_path: Path) -> None:
    moment = {("running_requests", ""): 1.0, ("ttft_s_bucket", "+Inf"): 2.0}
    said = server_says(tmp_path / "said.parquet", moment, moment, moment)
    table = run_tables(tmp_path, levels=[clean(tmp_path, 1, server_metrics=said)])["server_metrics"]
    assert sorted(table["metric"].to_pylist()) == [*["running_requests"] * 3, *["ttft_s_bucket"] * 2]
