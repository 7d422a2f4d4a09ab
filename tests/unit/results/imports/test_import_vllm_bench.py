"""Results of `vllm bench serve`, in our terms."""

import json
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

CHAT, COMPLETIONS, SUMMARY = "vllm_bench/chat", "vllm_bench/completions", "vllm_bench/summaries"
OF_COMPLETIONS = "vllm_bench/summaries-of-completions"


def content(name: str, concurrency: int = 4) -> Any:
    return json.loads((SAMPLES / name / f"c{concurrency}.json").read_text())


def changed(folder: Path, name: str, changes: dict[str, Any]) -> Level:
    """The level of a file that says something else; a field that is None is left out."""
    said = {key: value for key, value in (content(name) | changes).items() if value is not None}
    (folder / "result.json").write_text(json.dumps(said))
    ((one,),) = (found.levels for found in sweeps([folder]))
    return one


def test_files_in_one_folder_are_one_sweep() -> None:
    found = sweep(COMPLETIONS)
    assert (found.tool.source, [one.concurrency for one in found.levels]) == ("vllm bench serve", [1, 4])


def test_results_appended_to_one_file_are_one_sweep(tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text("\n".join(json.dumps(content(SUMMARY, streams)) for streams in (1, 4)))
    (found,) = sweeps([tmp_path])
    assert [one.concurrency for one in found.levels] == [1, 4]


def test_what_the_file_does_not_say_is_unknown() -> None:
    origin = sweep(CHAT).origin
    assert (origin.model, origin.version, origin.url, origin.workload) == (MODEL, None, "", "unknown workload")


@pytest.mark.parametrize("stat", ["mean", "p50"])
@pytest.mark.parametrize(("ours", "theirs"), [("ttft_s", "ttft"), ("tpot_s", "tpot"), ("inter_token_s", "itl")])
@pytest.mark.parametrize("name", [CHAT, COMPLETIONS])
def test_stats_of_single_requests_are_those_of_the_summary(name: str, ours: str, theirs: str, stat: str) -> None:
    told = content(name)[f"{'median' if stat == 'p50' else stat}_{theirs}_ms"] / 1000
    assert values(level(name, 4))[ours, stat] == pytest.approx(told)


def test_end_to_end_times_are_the_latencies_that_the_tool_gives() -> None:
    assert of_whole(level(CHAT, 4), "e2e_s") == pytest.approx(content(CHAT)["latencies"])


def test_a_chats_first_token_is_its_role_and_what_follows_from_it_differs() -> None:
    assert differing(level(CHAT, 4)) == {"ttft_s", "tpot_s", "inter_token_s", "input_tokens"}


def test_of_completions_all_but_the_prompts_length_is_comparable() -> None:
    assert differing(level(COMPLETIONS, 4)) == {"input_tokens"}
    assert {"ttft_s", "tpot_s", "inter_token_s", "system_tokens_per_s"} <= comparable(level(COMPLETIONS, 4))


def test_a_backend_that_nobody_knows_may_take_anything_for_the_first_token(tmp_path: Path) -> None:
    assert "ttft_s" in differing(changed(tmp_path, COMPLETIONS, {"backend": "another", "endpoint_type": "another"}))


def test_gaps_between_chunks_of_several_tokens_differ(tmp_path: Path) -> None:
    one = changed(tmp_path, COMPLETIONS, {"output_lens": [9] * 20})
    assert differing(one) == {"input_tokens", "inter_token_s"}


def test_system_throughput_is_from_the_first_sending_to_the_last_arrival() -> None:
    said = content(COMPLETIONS)
    ends = [start + taken for start, taken in zip(said["start_times"], said["latencies"], strict=True)]
    expected = sum(said["output_lens"]) / (max(ends) - min(said["start_times"]))
    assert values(level(COMPLETIONS, 4))["system_tokens_per_s", "total"] == pytest.approx(expected)


def test_without_start_times_the_tools_own_throughput_is_taken(tmp_path: Path) -> None:
    one = changed(tmp_path, COMPLETIONS, {"start_times": None})
    assert values(one)["system_tokens_per_s", "total"] == content(COMPLETIONS)["output_throughput"]


def test_single_requests_have_no_moments_as_their_clock_has_no_date() -> None:
    assert {answer.sent_at_ns for answer in level(COMPLETIONS, 4).answers} == {None}


def test_a_failed_request_is_kept_with_its_error() -> None:
    one = level("vllm_bench/failing", 2)
    failed = [answer for answer in one.answers if answer.error_kind]
    assert (one.completed, one.failed) == (8, 2)
    assert values(one)["error_rate", "total"] == pytest.approx(0.2)
    assert {(answer.error_message, answer.ttft_s, answer.e2e_s) for answer in failed} == {
        ("Service Unavailable", None, None)
    }


def test_a_summary_gives_what_it_says_and_no_more() -> None:
    found = numbers(level(SUMMARY, 4))
    assert {stat for metric, stat in found if metric == "ttft_s"} == {"mean", "stddev", "p50"}  # p99 takes 500
    assert "query_tokens_per_s" not in {metric for metric, _ in found}
    assert level(SUMMARY, 4).answers == []


def test_of_how_many_values_tpot_is_made_nobody_knows_so_its_percentiles_are_withheld() -> None:
    assert {stat for metric, stat in numbers(level(OF_COMPLETIONS, 4)) if metric == "tpot_s"} == {"mean"}


def test_a_spread_over_n_becomes_ours_over_n_less_one() -> None:
    told = content(SUMMARY)["std_ttft_ms"] / 1000
    assert values(level(SUMMARY, 4))["ttft_s", "stddev"] == pytest.approx(told * (20 / 19) ** 0.5)


def test_the_latencies_that_a_summary_keeps_give_all_stats_of_the_end_to_end_time() -> None:
    told = content(SUMMARY)["latencies"]
    assert values(level(SUMMARY, 4))["e2e_s", "max"] == max(told)


def test_of_a_summary_of_completions_first_tokens_are_comparable_and_gaps_are_not() -> None:
    assert differing(level(OF_COMPLETIONS, 4)) == {"inter_token_s", "input_tokens"}


def test_where_requests_failed_a_summarys_throughput_differs(tmp_path: Path) -> None:
    one = changed(tmp_path, SUMMARY, {"failed": 2, "completed": 18})
    assert {"system_tokens_per_s", "requests_per_min"} <= differing(one)


def test_older_versions_do_not_count_what_failed_but_what_was_asked_for(tmp_path: Path) -> None:
    one = changed(tmp_path, SUMMARY, {"failed": None, "completed": 17})
    assert (one.completed, one.failed, one.planned) == (17, 3, 20)


def test_the_date_is_the_end() -> None:
    one = level(CHAT, 4)
    ended_at = datetime.strptime(content(CHAT)["date"], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    assert one.started_at is not None
    assert (ended_at - one.started_at).total_seconds() == pytest.approx(content(CHAT)["duration"], abs=1e-5)


def test_the_configuration_is_kept_without_the_results() -> None:
    kept = level(CHAT, 4).configuration
    assert (kept["burstiness"], kept["tokenizer_id"]) == (1.0, "tokenizer")
    assert "duration" not in kept


@pytest.mark.parametrize("changes", [{"max_concurrency": None}, {"request_rate": 5.0}])
def test_requests_at_a_rate_are_no_concurrency_level(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ImportRefusedError, match="number of streams was not fixed"):
        changed(tmp_path, CHAT, changes)


def test_lists_of_different_lengths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match="have different lengths"):
        changed(tmp_path, CHAT, {"ttfts": [0.1]})


def test_the_same_result_in_the_form_of_pytorchs_benchmarks_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "result.pytorch.json").write_text("[]")
    assert changed(tmp_path, CHAT, {}).concurrency == 4


def test_zeros_where_nothing_completed_are_not_known(tmp_path: Path) -> None:
    said = content(SUMMARY)
    zeros = {name: 0.0 for name in said if name.endswith(("_ms", "_throughput"))}
    changes = {"completed": 0, "failed": 20, "total_output_tokens": 0, "total_input_tokens": 0, "latencies": [0.0] * 20}
    one = changed(tmp_path, SUMMARY, {**zeros, **changes})
    assert (one.completed, one.failed) == (0, 20)
    assert values(one) == {("error_rate", "total"): 1.0}
