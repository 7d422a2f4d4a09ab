"""GuideLLM's reports, in our terms."""

import json
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

REPORT, SAMPLED = "guidellm/report", "guidellm/sampled"


def content(name: str) -> Any:
    return json.loads((SAMPLES / name / "benchmarks.json").read_text())


def benchmark(name: str) -> Any:
    return content(name)["benchmarks"][-1]


def changed(folder: Path, name: str, **of_config: Any) -> Level:
    """The last level of a report whose benchmarks were set up otherwise."""
    said = content(name)
    for one in said["benchmarks"]:
        one["config"] |= of_config
    (folder / "benchmarks.json").write_text(json.dumps(said))
    (found,) = sweeps([folder])
    return found.levels[-1]


def test_the_benchmarks_of_a_report_are_one_sweep() -> None:
    found = sweep(REPORT)
    assert (found.tool.source, [one.concurrency for one in found.levels]) == ("guidellm", [1, 4])


def test_the_report_says_what_was_measured_where() -> None:
    origin = sweep(REPORT).origin
    assert (origin.version, origin.model, origin.url) == ("0.8.1", MODEL, "http://127.0.0.1:18431")
    assert origin.workload == "synthetic_text 20 in, 6 out"


def test_with_single_requests_all_is_comparable() -> None:
    assert differing(level(REPORT, 4)) == set()
    assert comparable(level(REPORT, 4)) == {
        "ttft_s",
        "e2e_s",
        "tpot_s",
        "query_tokens_per_s",
        "input_tokens",
        "output_tokens",
        "system_tokens_per_s",
        "requests_per_min",
        "error_rate",
    }


@pytest.mark.parametrize("stat", ["mean", "min", "max"])
@pytest.mark.parametrize(
    ("ours", "theirs"), [("ttft_s", "time_to_first_token_ms"), ("tpot_s", "inter_token_latency_ms")]
)
def test_its_inter_token_latency_is_our_time_for_each_token(ours: str, theirs: str, stat: str) -> None:
    told = benchmark(REPORT)["metrics"][theirs]["successful"][stat] / 1000
    assert values(level(REPORT, 4))[ours, stat] == pytest.approx(told)


def test_the_end_to_end_time_ends_with_the_last_token_not_with_the_stream() -> None:
    theirs = benchmark(REPORT)["metrics"]["request_latency"]["successful"]["mean"]
    assert 0 < theirs - values(level(REPORT, 4))["e2e_s", "mean"] < 0.01


def test_system_throughput_is_from_the_first_sending_to_the_last_token() -> None:
    rows = benchmark(REPORT)["requests"]["successful"]
    timings = [row["info"]["timings"] for row in rows]
    length_s = max(t["last_token_iteration"] for t in timings) - min(t["request_start"] for t in timings)
    assert values(level(REPORT, 4))["system_tokens_per_s", "total"] == pytest.approx(60 / length_s)


def test_single_gaps_are_not_kept_so_there_is_no_time_between_tokens() -> None:
    assert "inter_token_s" not in {metric for metric, _ in numbers(level(REPORT, 4))}


def test_requests_have_their_moments_in_order() -> None:
    sent = [answer.sent_at_ns or 0 for answer in level(REPORT, 4).answers]
    assert sent == sorted(sent)
    assert min(sent) / 1e9 == pytest.approx(benchmark(REPORT)["start_time"], abs=0.1)


def test_failed_requests_are_kept_with_their_errors() -> None:
    one = level("guidellm/failing", 2)
    failed = [answer for answer in one.answers if answer.error_kind]
    assert (one.completed, one.failed) == (8, 2)
    assert values(one)["error_rate", "total"] == pytest.approx(0.2)
    assert all("503" in (answer.error_message or "") for answer in failed)
    assert len(of_whole(one, "e2e_s")) == 8


def test_where_only_a_sample_of_the_requests_was_kept_the_summary_is_taken() -> None:
    one = level(SAMPLED, 2)
    assert (one.completed, one.answers) == (20, [])
    told = benchmark(SAMPLED)["metrics"]["time_to_first_token_ms"]["successful"]
    assert values(one)["ttft_s", "mean"] == pytest.approx(told["mean"] / 1000)
    assert values(one)["ttft_s", "stddev"] == pytest.approx(told["std_dev"] / 1000 * (20 / 19) ** 0.5)


def test_a_summarys_percentiles_and_rates_differ_and_its_means_do_not() -> None:
    found = numbers(level(SAMPLED, 2))
    assert found["ttft_s", "mean"].differs is None
    assert "interpolates" in (found["ttft_s", "p50"].differs or "")
    assert "window" in (found["system_tokens_per_s", "total"].differs or "")


def test_tokens_of_its_own_tokenizer_differ(tmp_path: Path) -> None:
    one = changed(tmp_path, REPORT, prefer_response_metrics=False)
    assert differing(one) == {
        "input_tokens",
        "output_tokens",
        "tpot_s",
        "query_tokens_per_s",
        "system_tokens_per_s",
    }


def test_requests_at_a_rate_are_no_concurrency_level() -> None:
    with pytest.raises(ImportRefusedError, match="number of streams was not fixed"):
        sweep("guidellm/constant")


def test_one_request_after_another_is_concurrency_one(tmp_path: Path) -> None:
    assert changed(tmp_path, SAMPLED, strategy={"type_": "synchronous"}).concurrency == 1


def test_an_api_key_is_not_kept_with_the_configuration(tmp_path: Path) -> None:
    one = changed(tmp_path, SAMPLED, backend={"model": MODEL, "api_key": "sk-secret"})
    assert "sk-secret" not in str(one.configuration)
    assert one.configuration["backend"]["model"] == MODEL


OLD = "guidellm/of-0.3"


def test_reports_of_0_2_and_0_3_have_the_same_in_other_places() -> None:
    found = sweep(OLD)
    assert [(one.concurrency, one.completed, one.failed) for one in found.levels] == [(1, 10, 0), (4, 10, 0)]
    assert (found.origin.version, found.origin.model, found.origin.url) == (None, MODEL, "http://127.0.0.1:18431")
    assert found.origin.workload == "synthetic 20 in, 6 out"
    assert found.levels[-1].configuration["args"]["strategy"]["streams"] == 4  # type: ignore[index]


@pytest.mark.parametrize(
    ("ours", "theirs"), [("ttft_s", "time_to_first_token_ms"), ("tpot_s", "inter_token_latency_ms")]
)
def test_of_0_3_too_inter_token_latency_is_our_time_for_each_token(ours: str, theirs: str) -> None:
    told = benchmark(OLD)["metrics"][theirs]["successful"]["mean"] / 1000
    assert values(level(OLD, 4))[ours, "mean"] == pytest.approx(told)
    assert differing(level(OLD, 4)) == set()


def test_of_0_3_too_failed_requests_are_kept_with_their_errors(tmp_path: Path) -> None:
    said = content(OLD)
    one = said["benchmarks"][-1]
    failed = one["requests"]["successful"].pop() | {"type_": "generative_text_error", "error": "boom"}
    one["requests"]["errored"] = [failed]
    one["request_totals"] = {"successful": 9, "errored": 1, "incomplete": 0, "total": 10}
    (tmp_path / "benchmarks.json").write_text(json.dumps(said))
    (found,) = sweeps([tmp_path])
    last = found.levels[-1]
    assert [answer.error_message for answer in last.answers if answer.error_kind] == ["boom"]
    assert (last.completed, last.failed) == (9, 1)


def test_before_0_7_the_data_is_described_in_words(tmp_path: Path) -> None:
    said = content(REPORT)
    said["args"] = {"data": ["{'prompt_tokens': 256, 'output_tokens': 128}"]}
    del said["config"]
    (tmp_path / "benchmarks.json").write_text(json.dumps(said))
    (found,) = sweeps([tmp_path])
    assert found.origin.workload == "synthetic 256 in, 128 out"


def test_the_oldest_that_is_read_is_said(tmp_path: Path) -> None:
    run = {"mode": "synchronous", "rate": 1.0, "results": [], "errors": [], "concurrencies": []}
    (tmp_path / "report.json").write_text(json.dumps({"benchmarks": [{"benchmarks": [run], "args": {}}]}))
    with pytest.raises(ImportRefusedError, match=r"written by GuideLLM 0\.1; 0\.2 is the oldest that is read"):
        sweeps([tmp_path])
