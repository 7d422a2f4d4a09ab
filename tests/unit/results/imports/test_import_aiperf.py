"""AIPerf's exports, in our terms."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from shapebench.results.imports.recognise import ImportRefusedError, sweeps
from shapebench.results.imports.tool import Level
from tests.unit.results.imports.import_samples import (
    MODEL,
    SAMPLES,
    comparable,
    differing,
    level,
    numbers,
    of_whole,
    sweep,
    values,
)

SUMMARY, RECORDS = "profile_export_aiperf.json", "profile_export.jsonl"


def summary(name: str) -> Any:
    return json.loads((SAMPLES / "aiperf" / name / SUMMARY).read_text())


def records(name: str) -> list[Any]:
    return [json.loads(line) for line in (SAMPLES / "aiperf" / name / RECORDS).read_text().splitlines()]


def written(folder: Path, content: Any, rows: list[Any] | None = None) -> Level:
    (folder / SUMMARY).write_text(json.dumps(content))
    if rows is not None:
        (folder / RECORDS).write_text("\n".join(map(json.dumps, rows)))
    ((one,),) = (found.levels for found in sweeps([folder]))
    return one


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLES / "aiperf" / "c4", tmp_path / "run"))


def test_a_folder_for_each_level_is_one_sweep() -> None:
    (found,) = sweeps([SAMPLES / "aiperf" / "c1", SAMPLES / "aiperf" / "c4"])
    assert (found.tool.source, [one.concurrency for one in found.levels]) == ("aiperf", [1, 4])


def test_the_summary_says_what_was_measured_where() -> None:
    origin = sweep("aiperf/c4").origin
    assert (origin.version, origin.model, origin.url) == ("0.13.0", MODEL, "http://127.0.0.1:18431")
    assert origin.workload == "N(20,0) in, N(6,0) out"


@pytest.mark.parametrize("name", ["c1", "c4"])
def test_with_the_servers_token_counts_all_is_comparable(name: str) -> None:
    one = level(f"aiperf/{name}", int(name[1:]))
    assert differing(one) == set()
    assert {"ttft_s", "tpot_s", "inter_token_s", "query_tokens_per_s", "system_tokens_per_s"} <= comparable(one)


@pytest.mark.parametrize(("stat", "theirs"), [("mean", "avg"), ("p50", "p50"), ("min", "min"), ("max", "max")])
@pytest.mark.parametrize(
    ("ours", "metric", "unit"),
    [
        ("ttft_s", "time_to_first_token", 1000),
        ("e2e_s", "request_latency", 1000),
        ("tpot_s", "inter_token_latency", 1000),
        ("inter_token_s", "inter_chunk_latency", 1000),
        ("query_tokens_per_s", "e2e_output_token_throughput", 1),
        ("input_tokens", "input_sequence_length", 1),
    ],
)
def test_stats_of_the_records_are_those_of_the_summary(
    ours: str, metric: str, unit: float, stat: str, theirs: str
) -> None:
    assert values(level("aiperf/c4", 4))[ours, stat] == pytest.approx(summary("c4")[metric][theirs] / unit)


@pytest.mark.parametrize("name", ["c1", "c4"])
def test_throughput_is_over_the_time_from_the_first_request_to_the_last_response(name: str) -> None:
    told = summary(name)
    expected = told["total_osl"]["avg"] / told["benchmark_duration"]["avg"]
    assert values(level(f"aiperf/{name}", int(name[1:])))["system_tokens_per_s", "total"] == pytest.approx(expected)


def test_warm_up_requests_are_kept_and_count_nowhere() -> None:
    one = level("aiperf/c4", 4)
    assert [answer.warmup for answer in one.answers] == [True] * 2 + [False] * 10
    assert (one.completed, one.failed, one.planned) == (10, 0, 10)


def test_a_summary_alone_gives_its_own_stats() -> None:
    one = level("aiperf/c1", 1)
    told = summary("c1")["time_to_first_token"]
    assert values(one)["ttft_s", "mean"] == pytest.approx(told["avg"] / 1000)
    assert values(one)["ttft_s", "stddev"] == pytest.approx(told["std"] / 1000 * (10 / 9) ** 0.5)
    assert numbers(one)["inter_token_s", "mean"].sample_count == 50
    assert one.answers == []


def test_the_servers_usage_is_taken_where_the_records_have_it_beside_the_tools_own_count() -> None:
    one = level("aiperf/failing", 2)
    assert set(of_whole(one, "output_tokens")) == {6}
    assert "output_tokens" not in differing(one)
    own = {
        record["metrics"]["output_sequence_length"]["value"] for record in records("failing") if "error" not in record
    }
    assert own != {6}


def test_tokens_of_its_own_tokenizer_differ_where_there_is_no_usage(tmp_path: Path) -> None:
    one = written(tmp_path, summary("failing"))
    assert differing(one) == {
        "input_tokens",
        "output_tokens",
        "tpot_s",
        "query_tokens_per_s",
        "system_tokens_per_s",
        "inter_token_s",
    }


def test_failed_requests_are_kept_with_their_errors() -> None:
    one = level("aiperf/failing", 2)
    failed = [answer for answer in one.answers if answer.error_kind]
    assert (one.completed, one.failed) == (8, 2)
    assert values(one)["error_rate", "total"] == pytest.approx(0.2)
    assert {answer.http_status for answer in failed} == {503}
    assert "overloaded" in (failed[0].error_message or "")


def test_a_summarys_error_rate_becomes_a_share(tmp_path: Path) -> None:
    assert values(written(tmp_path, summary("failing")))["error_rate", "total"] == pytest.approx(0.2)


def test_chunks_of_several_tokens_make_gaps_differ(tmp_path: Path) -> None:
    rows = records("c4")
    rows[-1]["metrics"]["inter_chunk_latency"]["value"].pop()
    assert differing(written(tmp_path, summary("c4"), rows)) == {"inter_token_s"}
    content = summary("c1")
    content["inter_chunk_latency"]["count"] -= 1
    (tmp_path / RECORDS).unlink()
    assert differing(written(tmp_path, content)) == {"inter_token_s"}


def test_times_for_tokens_after_the_first_chunk_differ(tmp_path: Path) -> None:
    content = summary("c1")
    content["input_config"]["endpoint"]["per_chunk_usage"] = True
    assert differing(written(tmp_path, content)) == {"tpot_s"}


def test_requests_at_a_rate_are_no_concurrency_level(tmp_path: Path) -> None:
    content = summary("c1")
    content["input_config"]["phases"][-1] |= {"type": "request_rate", "rate": 5}
    with pytest.raises(ImportRefusedError, match="number of streams was not fixed"):
        written(tmp_path, content)


def test_several_measured_phases_are_refused(tmp_path: Path) -> None:
    content = summary("c1")
    content["input_config"]["phases"].append(content["input_config"]["phases"][-1])
    with pytest.raises(ImportRefusedError, match="2 measured phases"):
        written(tmp_path, content)


def test_records_without_their_summary_are_refused(folder: Path) -> None:
    (folder / SUMMARY).unlink()
    with pytest.raises(ImportRefusedError, match="its summary is missing"):
        sweeps([folder])


def test_what_else_lies_in_its_folder_is_passed_over(folder: Path) -> None:
    (folder / "phases" / "profiling").mkdir(parents=True)
    shutil.copy(folder / SUMMARY, folder / "phases" / "profiling" / SUMMARY)
    for name in ("inputs.json", "phase_manifest.json", "profile_export_raw.jsonl", "server_metrics_export.json"):
        (folder / name).write_text('{"data": []}')
    (folder / ".aiperf_results_ready.json").write_text("{}")
    (found,) = sweeps([folder])
    assert [one.concurrency for one in found.levels] == [4]
    assert len(found.documents) == 2


def test_its_files_belong_together_under_a_prefix_of_the_users_own(folder: Path) -> None:
    (folder / SUMMARY).rename(folder / "mine_aiperf.json")
    (folder / RECORDS).rename(folder / "mine.jsonl")
    (found,) = sweeps([folder])
    assert len(found.levels[0].answers) == 12


def test_before_phases_the_load_was_named_otherwise() -> None:
    (found,) = sweeps([SAMPLES / "aiperf" / "before-phases-c1", SAMPLES / "aiperf" / "before-phases-c4"])
    assert [(one.concurrency, one.completed, one.planned) for one in found.levels] == [(1, 10, 10), (4, 10, 10)]
    origin = found.origin
    assert (origin.version, origin.model, origin.url) == ("0.6.0", MODEL, "http://127.0.0.1:18431")
    assert origin.workload == "N(20,0) in, N(6,0) out"


def test_before_phases_single_requests_had_the_same_form() -> None:
    one = level("aiperf/before-phases-c4", 4)
    told = summary("before-phases-c4")["time_to_first_token"]
    assert [answer.warmup for answer in one.answers] == [False] * 10  # it left the warm-up out
    assert values(one)["ttft_s", "mean"] == pytest.approx(told["avg"] / 1000)
    assert differing(one) == set()


def test_before_phases_only_the_number_of_requests_says_how_many_values_there_are() -> None:
    one = numbers(level("aiperf/before-phases-c1", 1))
    assert one["ttft_s", "p50"].sample_count == 10
    assert ("inter_token_s", "p50") not in one


@pytest.mark.parametrize("changes", [{}, {"loadgen": {"request_count": 10}}])
def test_before_phases_one_stream_was_the_default(tmp_path: Path, changes: dict[str, Any]) -> None:
    content = summary("before-phases-c1")
    content["input_config"].pop("loadgen")
    content["input_config"] |= changes
    assert written(tmp_path, content).concurrency == 1


@pytest.mark.parametrize(
    "changes",
    [{"loadgen": {"request_rate": 5.0, "concurrency": 9}}, {"loadgen": {}, "input": {"fixed_schedule": True}}],
)
def test_before_phases_too_requests_at_a_rate_are_no_concurrency_level(tmp_path: Path, changes: dict[str, Any]) -> None:
    content = summary("before-phases-c1")
    content["input_config"] |= changes
    with pytest.raises(ImportRefusedError, match="number of streams was not fixed"):
        written(tmp_path, content)


def test_the_first_version_had_its_metrics_one_level_further_down_and_named_no_version(tmp_path: Path) -> None:
    new = summary("before-phases-c1")
    own = ("input_config", "start_time", "end_time", "was_cancelled", "error_summary")
    old = {name: new[name] for name in own} | {"records": {name: new[name] for name in new if name not in own}}
    for name in ("schema_version", "aiperf_version", "benchmark_id"):
        del old["records"][name]
    one = written(tmp_path, old)
    assert (one.origin.version, one.concurrency) == (None, 1)
    assert values(one) == values(level("aiperf/before-phases-c1", 1))


def test_where_all_failed_nothing_completed(tmp_path: Path) -> None:
    content = summary("failing")
    del content["request_count"]
    one = written(tmp_path, content)
    assert (one.completed, one.failed) == (0, 2)
    assert {metric for metric, _ in numbers(one)} == {"error_rate"}
