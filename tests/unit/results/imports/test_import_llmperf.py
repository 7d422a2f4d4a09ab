"""LLMPerf's files, in our terms. The samples are written by hand, as LLMPerf writes them."""

import json
import shutil
from datetime import UTC, datetime
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

SUMMARY = "meta-llama-Llama-3-2-3B-Instruct_200_100_summary.json"
RESPONSES = "meta-llama-Llama-3-2-3B-Instruct_200_100_individual_responses.json"


def content(concurrency: int, name: str) -> Any:
    return json.loads((SAMPLES / "llmperf" / f"level-{concurrency}" / name).read_text())


def changed(folder: Path, summary: dict[str, Any], responses: list[dict[str, Any]] | None) -> Level:
    """The level of files that say something else."""
    (folder / SUMMARY).write_text(json.dumps(content(4, SUMMARY) | summary))
    if responses is not None:
        (folder / RESPONSES).write_text(json.dumps(responses))
    ((one,),) = (found.levels for found in sweeps([folder]))
    return one


def test_a_folder_for_each_level_is_one_sweep() -> None:
    found = sweep("llmperf")
    assert (found.tool.source, [one.concurrency for one in found.levels]) == ("llmperf", [1, 4])


def test_what_was_asked_for_names_the_workload() -> None:
    origin = sweep("llmperf").origin
    assert (origin.model, origin.workload, origin.version) == (MODEL, "N(200,40) in, N(100,10) out", "2023-08-31")


def test_ttft_and_end_to_end_time_are_comparable_and_token_rates_are_not() -> None:
    assert comparable(level("llmperf", 4)) == {"ttft_s", "e2e_s"}
    assert differing(level("llmperf", 4)) == {
        "inter_token_s",
        "input_tokens",
        "output_tokens",
        "tpot_s",
        "query_tokens_per_s",
        "system_tokens_per_s",
        "requests_per_min",
        "error_rate",
    }


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("ttft_s", "ttft_s"),
        ("e2e_s", "end_to_end_latency_s"),
        ("query_tokens_per_s", "request_output_throughput_token_per_s"),
        ("output_tokens", "number_output_tokens"),
        ("input_tokens", "number_input_tokens"),
        ("inter_token_s", "inter_token_latency_s"),
    ],
)
@pytest.mark.parametrize("stat", ["mean", "stddev", "min", "max"])
def test_stats_of_the_responses_are_those_of_the_summary(ours: str, theirs: str, stat: str) -> None:
    told = float(content(4, SUMMARY)[f"results_{theirs}_{stat}"])
    assert values(level("llmperf", 4))[ours, stat] == pytest.approx(told)


def test_a_percentile_of_too_few_requests_is_withheld() -> None:
    found = numbers(level("llmperf", 4))
    assert [stat for metric, stat in found if metric == "ttft_s" and stat.startswith("p")] == ["p50"]


def test_time_for_each_token_follows_from_the_responses() -> None:
    first = content(4, RESPONSES)[0]
    expected = (first["end_to_end_latency_s"] - first["ttft_s"]) / (first["number_output_tokens"] - 1)
    assert of_whole(level("llmperf", 4), "tpot_s")[0] == pytest.approx(expected)


def test_totals_are_taken_and_marked() -> None:
    found = numbers(level("llmperf", 4))["system_tokens_per_s", "total"]
    assert found.value == content(4, SUMMARY)["results_mean_output_throughput_token_per_s"]
    assert "Ray" in (found.differs or "")


def test_the_timestamp_is_the_end_and_the_time_follows_from_the_rate() -> None:
    one = level("llmperf", 4)
    assert one.wall_s == pytest.approx(12.25)
    ended_at = datetime.fromtimestamp(content(4, SUMMARY)["timestamp"], UTC)
    assert one.started_at is not None
    assert (ended_at - one.started_at).total_seconds() == pytest.approx(12.25)


def test_how_many_requests_were_planned_is_not_known() -> None:
    assert level("llmperf", 4).planned is None


def test_a_users_metadata_are_kept_with_the_configuration() -> None:
    assert level("llmperf", 1).configuration["engine"] == "vllm"


def test_a_summary_alone_gives_its_own_stats(tmp_path: Path) -> None:
    one = changed(tmp_path, {}, None)
    assert values(one)["ttft_s", "p50"] == content(4, SUMMARY)["results_ttft_s_quantiles_p50"]
    assert values(one)["input_tokens", "min"] == 180  # which stands there as text
    assert one.answers == []
    assert ("tpot_s", "mean") not in values(one)


def test_nan_is_a_number_that_is_not_there(tmp_path: Path) -> None:
    one = changed(tmp_path, {"results_ttft_s_stddev": float("nan")}, None)
    assert ("ttft_s", "stddev") not in values(one)
    assert ("ttft_s", "mean") in values(one)


def test_a_response_with_an_error_has_no_times(tmp_path: Path) -> None:
    failed = dict.fromkeys(content(4, RESPONSES)[0], 0) | {"error_code": 503, "error_msg": "overloaded"}
    one = changed(tmp_path, {}, [*content(4, RESPONSES), failed])
    broken = one.answers[-1]
    assert (one.completed, one.failed) == (12, 1)
    assert (broken.ttft_s, broken.e2e_s, broken.http_status, broken.error_message) == (None, None, 503, "overloaded")


def test_responses_of_another_level_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match="12 completed requests, its responses 11"):
        changed(tmp_path, {}, content(4, RESPONSES)[1:])


def test_responses_without_their_summary_are_refused(tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "llmperf" / "level-1" / RESPONSES, tmp_path)
    with pytest.raises(ImportRefusedError, match="its summary is missing"):
        sweeps([tmp_path])


def test_a_first_token_after_the_last_is_refused(tmp_path: Path) -> None:
    rows = content(4, RESPONSES)
    rows[3]["ttft_s"] = 99
    with pytest.raises(ImportRefusedError, match="request 3 had its first token"):
        changed(tmp_path, {}, rows)


def test_what_shapebench_exported_is_by_our_definitions(tmp_path: Path) -> None:
    one = changed(tmp_path, {"shapebench_run_id": "20260714T093000-a1b2c3"}, content(4, RESPONSES))
    assert differing(one) == {"inter_token_s"}
