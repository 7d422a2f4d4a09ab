"""For every expectation a level with exactly that fault; its known companions fail with it, and nothing else."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest

from expectations import validate as validation
from expectations.expectations import ALL, Expectation, gxe
from expectations.make_docs import PAGE, page
from expectations.validate import validate
from shapebench.analysis.measured_level import MeasuredLevel, summarise_level
from shapebench.runs.records import Calibration, Verdict
from shapebench.runs.samples_file import Sample
from shapebench.spec.lengths import Lengths
from tests.level_sample import (
    ASKED,
    CLIENT,
    clean,
    closed_loop,
    counted,
    level,
    refused,
    request,
    server_says,
)

ROOT = Path(__file__).parents[3]
Fault = Callable[[Path], MeasuredLevel]


def spoilt(
    data: Path, changes: dict[str, Any], streams: int = 2, at: slice = slice(None), **of_level: Any
) -> MeasuredLevel:
    """A clean level but for fields of its measured samples, or of those of them that `at` picks."""
    samples = closed_loop(streams)
    picked = [n for n, sample in enumerate(samples) if not sample.warmup][at]
    return with_samples(data, [replace(s, **changes) if n in picked else s for n, s in enumerate(samples)], **of_level)


def with_samples(data: Path, samples: list[Sample] | None, streams: int = 2, **of_level: Any) -> MeasuredLevel:
    return summarise_level(level(data, streams, samples, **of_level))


def of_client(data: Path, **changes: float) -> MeasuredLevel:
    """A clean level, but for how the client fared."""
    return with_samples(data, closed_loop(2), client=CLIENT | changes)


def calibrated(**found: float) -> Calibration:
    return replace(Calibration(2, 1, requests=10), **found)


def with_late_sends(data: Path) -> MeasuredLevel:
    """6 of 100 requests, each so little late that the streams were as good as busy."""
    return with_samples(data, closed_loop(2, requests_each=50), client=CLIENT | {"late_sends": 6.0})


def with_failures(data: Path, count: int, requests: int = 110) -> MeasuredLevel:
    """The last ones fail, each by the way of a stream that is busy all the time."""
    samples = closed_loop(2, requests_each=requests // 2)
    failed = {"chunk_offsets_s": [], "chunk_tokens": [], "output_tokens": None, "error_kind": "reset"}
    return with_samples(data, [*samples[:-count], *(replace(sample, **failed) for sample in samples[-count:])])


def with_a_stream_that_pauses(data: Path) -> MeasuredLevel:
    """Stream 1 is idle for 0.4 s of the 4.99 s in the window: (2 * 4.99 - 0.4) / (2 * 4.99) is 96.0%."""
    late = [
        replace(s, sent_at_ns=s.sent_at_ns + 400_000_000 * (s.stream and s.request_index > 5)) for s in closed_loop(2)
    ]
    return with_samples(data, late)


def with_a_long_drain(data: Path) -> MeasuredLevel:
    """The last answer of stream 0 takes 20 s; all streams are busy for 5 s of 24."""
    *others, last, _ = samples = closed_loop(2)
    slow = replace(last, chunk_offsets_s=[2.0 * token for token in range(1, 11)], ended_s=20.0)
    return with_samples(data, [*others, slow, samples[-1]])


def with_a_stream_that_dies(data: Path) -> MeasuredLevel:
    """One of 10 streams, after 6 of its 10 requests."""
    alive = [s for s in closed_loop(10, requests_each=10) if s.stream or s.request_index < 70]
    return with_samples(data, alive, streams=10)


def with_a_drift(data: Path) -> MeasuredLevel:
    """The time to first token doubles from the first request to the last."""
    samples = closed_loop(2, requests_each=60)
    return with_samples(
        data,
        [replace(s, chunk_offsets_s=[0.05 * (1 + n / len(samples)), *ALL_TOKENS[1:]]) for n, s in enumerate(samples)],
    )


def with_lengths(data: Path, kind: str, mean: float = 100, stddev: float = 20) -> MeasuredLevel:
    """100 requests, planned and answered with lengths of one distribution, where N(100, 20) was asked for."""
    drawn = NormalDist(mean, stddev) if stddev else None
    lengths = [round(drawn.inv_cdf((n + 0.5) / 100)) if drawn else 80 + 40 * (n % 2) for n in range(100)]
    return of_lengths(data, kind, lengths)


def of_lengths(data: Path, kind: str, lengths: list[int]) -> MeasuredLevel:
    samples = closed_loop(2, requests_each=50)
    changed = [*samples[:2], *(ASKS[kind](s, n) for s, n in zip(samples[2:], lengths, strict=True))]
    return with_samples(data, changed, requested=replace(ASKED, **{f"{kind}_tokens": Lengths(100, 20)}))


ASKS: dict[str, Callable[[Sample, int], Sample]] = {
    "input": lambda s, n: replace(s, planned_input_tokens=n, input_tokens=n),
    "output": lambda s, n: replace(s, planned_output_tokens=n, output_tokens=n, chunk_tokens=[*[1] * 9, n - 9]),
}


def with_account(data: Path, times: dict[str, float] | None = None, **more: float) -> MeasuredLevel:
    """A clean level whose server counted some things more, or so many times as often."""
    samples = closed_loop(2)
    said = {
        (metric, label): value * (times or {}).get(metric, 1) + more.get(metric, 0)
        for (metric, label), value in counted(samples).items()
    }
    path = server_says(data / "account.parquet", dict.fromkeys(said, 0.0), said)
    return with_samples(data, samples, server_metrics=path)


def with_pauses_at_one_stream(data: Path) -> MeasuredLevel:
    """0.1 s before each request of 1 s: system throughput is 10 / 1.1 of a query's."""
    return with_samples(
        data, [request(n, 1.1 * n, [0.1 * t for t in range(1, 11)], warmup=n == 0) for n in range(6)], 1
    )


OUT_OF_ORDER = [0.1, 0.3, 0.2, *(0.1 * token for token in range(4, 11))]
ALL_TOKENS = [0.1 * token for token in range(1, 11)]
NONE = frozenset[str]()
IMPOSSIBLE = frozenset({"metrics_are_possible"})

# The fault, and the companions that fail with it.
FAULTS: dict[str, tuple[Fault, frozenset[str]]] = {
    "ttft_is_positive": (lambda d: spoilt(d, {"chunk_offsets_s": [-0.1, *ALL_TOKENS[1:]]}, at=slice(1)), IMPOSSIBLE),
    "ttft_is_not_after_the_end": (
        lambda d: spoilt(d, {"chunk_offsets_s": [1.2, *ALL_TOKENS[1:]]}, at=slice(1)),
        IMPOSSIBLE,
    ),
    "token_counts_are_present": (
        lambda d: spoilt(d, {"output_tokens": 0}, at=slice(1), enforced_output_tokens=False),
        frozenset({"chunks_agree_with_usage", "metrics_are_possible"}),
    ),
    "chunks_agree_with_usage": (
        lambda d: spoilt(d, {"chunk_tokens": [1] * 9, "chunk_offsets_s": ALL_TOKENS[1:]}, at=slice(1)),
        NONE,
    ),
    "output_lengths_are_as_asked": (lambda d: spoilt(d, {"planned_output_tokens": 11}, at=slice(1)), NONE),
    "input_lengths_are_as_asked": (lambda d: spoilt(d, {"input_tokens": 203}, at=slice(1)), NONE),
    "level_ran_to_its_end": (lambda d: with_samples(d, closed_loop(2), error="It was stopped."), NONE),
    "requests_are_accounted_for": (lambda d: with_samples(d, closed_loop(2), planned_requests=11), NONE),
    "requests_completed": (
        lambda d: with_samples(d, [refused(n, n, stream=n) for n in range(2)]),
        frozenset({"errors_are_few", "no_errors"}),
    ),
    "metrics_are_possible": (lambda d: spoilt(d, {"chunk_offsets_s": OUT_OF_ORDER}, at=slice(1)), NONE),
    "enough_requests_for_the_percentiles": (
        lambda d: with_failures(d, count=1, requests=100),
        frozenset({"no_errors"}),
    ),
    "errors_are_few": (lambda d: with_failures(d, count=6), frozenset({"no_errors"})),
    "no_errors": (lambda d: with_failures(d, count=5), NONE),
    "concurrency_was_held": (with_a_stream_that_pauses, NONE),
    "steady_window_is_long": (with_a_long_drain, NONE),
    "every_stream_was_alive_to_the_end": (with_a_stream_that_dies, NONE),
    "input_lengths_have_the_mean_asked": (lambda d: with_lengths(d, "input", mean=114), NONE),
    "input_lengths_have_the_spread_asked": (lambda d: with_lengths(d, "input", stddev=30), NONE),
    "input_lengths_have_the_shape_asked": (lambda d: with_lengths(d, "input", stddev=0), NONE),
    "output_lengths_have_the_mean_asked": (lambda d: with_lengths(d, "output", mean=112), NONE),
    "output_lengths_have_the_spread_asked": (lambda d: with_lengths(d, "output", stddev=30), NONE),
    "output_lengths_have_the_shape_asked": (lambda d: with_lengths(d, "output", stddev=0), NONE),
    "ttft_did_not_drift": (with_a_drift, NONE),
    "no_faster_than_the_memory": (
        lambda d: with_samples(d, closed_loop(2), requested=replace(ASKED, weights_read_s=0.2)),
        NONE,
    ),
    "the_server_gave_its_account": (
        lambda d: with_samples(d, closed_loop(2), server_metrics=None, server_error="/metrics does not exist (404)."),
        NONE,
    ),
    "the_server_stayed_the_same": (
        lambda d: with_samples(d, closed_loop(2), server_changes=("version was 0.11.0 and is 0.11.1",)),
        NONE,
    ),
    "no_foreign_traffic": (
        lambda d: with_account(d, finished_requests=1, prompt_tokens=15, generation_tokens=5),
        NONE,
    ),
    "foreign_traffic_is_little": (
        lambda d: with_account(d, finished_requests=12, prompt_tokens=2400, generation_tokens=120),
        frozenset({"no_foreign_traffic"}),
    ),
    "the_server_counted_our_load": (
        lambda d: with_account(d, {"finished_requests": 0.5, "prompt_tokens": 0.5, "generation_tokens": 0.5}),
        NONE,
    ),
    "ttft_is_not_below_the_servers": (lambda d: with_account(d, {"ttft_s_sum": 2}), NONE),
    "prompts_were_not_cached": (lambda d: with_account(d, prefix_cache_hit_tokens=1200), NONE),
    "no_preemptions": (lambda d: with_account(d, preemptions=3), NONE),
    "client_kept_up": (lambda d: of_client(d, cpu_share=0.9, cpu_s=9.0), NONE),
    "client_adds_little": (
        lambda d: with_samples(d, closed_loop(2), calibration=calibrated(added_ttft_p50_s=0.02)),
        NONE,
    ),
    "successors_were_sent_at_once": (with_late_sends, NONE),
    "tokens_came_apart": (lambda d: of_client(d, shared_receive_tokens=2.0), NONE),
    "answers_came_as_they_were_generated": (lambda d: spoilt(d, {"chunk_offsets_s": [1.0] * 10}, at=slice(1)), NONE),
    "clock_did_not_step": (lambda d: of_client(d, clock_step_s=0.5), NONE),
    "is_as_precise_as_asked": (lambda d: with_samples(d, closed_loop(2), until_precise=0.02), NONE),
    "output_lengths_are_near": (
        lambda d: spoilt(d, {"planned_output_tokens": 12}, enforced_output_tokens=False),
        NONE,
    ),
    "one_stream_agrees_with_itself": (with_pauses_at_one_stream, frozenset({"concurrency_was_held"})),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    """The verdict on each fault."""
    return {name: validate([commit(tmp_path_factory.mktemp(name))]) for name, (commit, _) in FAULTS.items()}


def failed(verdict: Verdict) -> set[str]:
    return {finding.expectation for finding in verdict.failed}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_its_expectation_and_its_known_companions_only(name: str, verdicts: dict[str, Verdict]) -> None:
    _, companions = FAULTS[name]
    assert failed(verdicts[name]) == {name, *companions}


def test_every_expectation_has_its_fault() -> None:
    assert set(FAULTS) == {expectation.name for expectation in ALL}


def test_the_page_of_expectations_is_that_of_make_docs() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("concurrency", [1, 2, 16])
def test_a_clean_level_fails_nothing(concurrency: int, tmp_path: Path) -> None:
    verdict = validate([clean(tmp_path, concurrency)])
    assert verdict.failed == ()
    assert verdict.levels == {concurrency: "valid"}


def test_a_client_that_adds_little_fails_nothing(tmp_path: Path) -> None:
    assert failed(validate([clean(tmp_path, 2, calibration=calibrated(added_ttft_p50_s=0.0001))])) == set()


def test_a_client_that_could_not_be_calibrated_has_no_finding_about_it(tmp_path: Path) -> None:
    found = validate([clean(tmp_path, 2, calibration=Calibration(2, 1, error="No file can be opened."))]).findings
    assert "client_adds_little" not in {finding.expectation for finding in found}


def test_at_one_stream_the_time_of_a_failed_request_is_no_fault_of_the_client(tmp_path: Path) -> None:
    samples = [request(n, n, ALL_TOKENS, warmup=n == 0) for n in range(41)]
    failure = {
        "chunk_offsets_s": [],
        "chunk_tokens": [],
        "output_tokens": None,
        "error_kind": "timeout",
        "ended_s": 9.0,
    }
    late = [replace(s, sent_at_ns=s.sent_at_ns + 8_000_000_000) for s in samples[21:]]
    spoilt = [*samples[:20], replace(samples[20], **failure), *late]
    assert "one_stream_agrees_with_itself" not in failed(validate([with_samples(tmp_path, spoilt, 1)]))


EXAMPLES = {
    "chunks_agree_with_usage": "In 1 of 10 answers the number of chunks is not that of the tokens that the server "
    "counted, in one of them 9 instead of 10: tokens are apportioned to chunks by their share of the text. For exact "
    "times between tokens, have the server send a token in each chunk, or usage with each chunk "
    "(endpoint.continuous_usage), if it can; TTFT, TPOT and throughput are exact anyway.",
    "client_kept_up": "A measuring process was busy for 90% of the time, where 85% are allowed. "
    "Set load.processes to 2.",
    "enough_requests_for_the_percentiles": "Only 99 of 100 planned requests completed, too few for p95. Remove the "
    "cause of the failures, or plan more requests (load.requests).",
    "is_as_precise_as_asked": "The means of TTFT and throughput are less precise than requested: the level was too "
    "short to estimate any interval. Measure for longer (load.duration_s, load.requests).",
    "no_foreign_traffic": "The server counted 20 tokens and 1 requests that this run did not send. Keep other users "
    "off the endpoint during a run.",
    "ttft_did_not_drift": "From the first request to the last, the time to first token changed by +63%, at least +63% "
    "beyond chance. Raise load.warmup_requests_per_stream, or find what changed on the server meanwhile.",
}
# What was seen, as it is written in each sentence.
FIGURES = {
    "ttft_is_positive": ["1 of 10", "-0.1 s"],
    "ttft_is_not_after_the_end": ["1 of 10", "1.2 s", "1 s"],
    "token_counts_are_present": ["1 of 10"],
    "chunks_agree_with_usage": ["1 of 10", "9", "10"],
    "output_lengths_are_as_asked": ["1 of 10", "-1 tokens"],
    "input_lengths_are_as_asked": ["1 of 10", "+3"],
    "level_ran_to_its_end": ["It was stopped"],
    "requests_are_accounted_for": ["11", "1 are missing"],
    "requests_completed": ["2 requests", "none"],
    "metrics_are_possible": ["1 of"],
    "enough_requests_for_the_percentiles": ["99 of 100", "p95"],
    "errors_are_few": ["5.45%", "5%"],
    "no_errors": ["4.55%"],
    "concurrency_was_held": ["96.0%"],
    "steady_window_is_long": ["21%"],
    "every_stream_was_alive_to_the_end": ["10 streams", "1 ended"],
    "input_lengths_have_the_mean_asked": ["114.0", "100"],
    "input_lengths_have_the_spread_asked": ["29.8", "20"],
    "input_lengths_have_the_shape_asked": ["1.1 times"],
    "output_lengths_have_the_mean_asked": ["112.0", "100"],
    "output_lengths_have_the_spread_asked": ["29.8", "20"],
    "output_lengths_have_the_shape_asked": ["1.2 times"],
    "ttft_did_not_drift": ["+63%"],
    "no_faster_than_the_memory": ["2.0 times"],
    "the_server_gave_its_account": ["/metrics does not exist (404)"],
    "the_server_stayed_the_same": ["version was 0.11.0 and is 0.11.1"],
    "no_foreign_traffic": ["20 tokens", "1 requests"],
    "foreign_traffic_is_little": ["100.0%", "1%"],
    "the_server_counted_our_load": ["50.0%"],
    "ttft_is_not_below_the_servers": ["0.1 s", "0.18 s"],
    "prompts_were_not_cached": ["47.5%", "1%"],
    "no_preemptions": ["3 times"],
    "client_kept_up": ["90%", "85%", "processes to 2"],
    "client_adds_little": ["0.02 s", "0.002 s"],
    "successors_were_sent_at_once": ["6.0%", "5%"],
    "tokens_came_apart": ["2.0%", "1%"],
    "answers_came_as_they_were_generated": ["10%", "5%"],
    "clock_did_not_step": ["0.5 s"],
    "is_as_precise_as_asked": ["too short"],
    "output_lengths_are_near": ["83%", "90 to 110%"],
    "one_stream_agrees_with_itself": ["92.6%"],
}
SENTENCE = re.compile(
    r"[A-Z{\d][^.!?]*(?:\.(?=\S)[^.!?]*)*\."
)  # one sentence: a stop ends it only where a blank follows
SAYS = [(e.name, text) for e in ALL for text in (e.holds, e.fails, e.remedy, e.reason, e.fault)]


def sentence(name: str, verdict: Verdict) -> str:
    return next(finding.sentence for finding in verdict.failed if finding.expectation == name)


@pytest.mark.parametrize("name", FAULTS)
def test_a_finding_has_its_figures_and_its_remedy(name: str, verdicts: dict[str, Verdict]) -> None:
    found = sentence(name, verdicts[name])
    remedy = next(e.remedy for e in ALL if e.name == name)
    assert [figure for figure in FIGURES[name] if figure not in found] == []
    assert remedy.split("{")[0] in found
    assert not {"{", "}", "nan", "inf"} & set(re.findall(r"[{}]|\w+", found))


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_finding_reads_as_a_plain_sentence(name: str, verdicts: dict[str, Verdict]) -> None:
    assert sentence(name, verdicts[name]) == EXAMPLES[name]


@pytest.mark.parametrize(("name", "text"), SAYS)
def test_whatever_an_expectation_says_is_one_sentence(name: str, text: str) -> None:
    assert SENTENCE.fullmatch(text), name


@pytest.mark.parametrize("page", [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"], ids=lambda page: page.name)
def test_every_expectation_that_the_docs_name_exists(page: Path) -> None:
    """A name in backticks that is nearly an expectation's is a name of one that was misspelt or renamed."""
    names = {expectation.name for expectation in ALL}
    code = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", page.read_text(encoding="utf-8")))
    assert [name for name in code - names if get_close_matches(name, names, cutoff=0.8)] == []


def test_an_expectation_that_holds_says_so(tmp_path: Path) -> None:
    assert "No request failed." in {finding.sentence for finding in validate([clean(tmp_path, 1)]).findings}


def test_an_expectation_that_cannot_be_checked_has_failed_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = gxe.ExpectColumnValuesToMatchRegex(column="completed", regex="(")
    expectation = Expectation(
        "wrong", "invalid", "It holds.", "It is {0}.", "Correct it.", "It matters.", wrong, "None."
    )
    monkeypatch.setattr(validation, "LEVEL", (expectation,))
    (finding,) = validate([clean(tmp_path, 1)]).failed
    assert finding.sentence.startswith("The expectation wrong could not be checked: ")


def test_a_level_without_samples_is_invalid_and_nothing_is_said_of_its_requests(tmp_path: Path) -> None:
    verdict = validate([summarise_level(level(tmp_path, 2, None))])
    assert verdict.status == "invalid"
    assert {f.expectation for f in verdict.findings} == {f.expectation for f in verdict.failed}
    assert "no_errors" not in {finding.expectation for finding in verdict.findings}


def test_a_level_whose_file_holds_no_request_is_invalid(tmp_path: Path) -> None:
    assert validate([with_samples(tmp_path, [], error="It was stopped.")]).status == "invalid"


def test_queries_of_very_different_speed_agree_with_one_busy_stream(tmp_path: Path) -> None:
    fast, slow = [0.01 * token for token in range(1, 11)], [float(token) for token in range(1, 11)]
    answers = [request(0, 0.0, fast, warmup=True), request(1, 0.1, fast), request(2, 0.2, slow), request(3, 10.2, fast)]
    assert failed(validate([with_samples(tmp_path, answers, streams=1)])) == set()


def test_an_answer_that_was_all_hidden_reasoning_but_for_a_word_was_not_held_back(tmp_path: Path) -> None:
    hidden = {"reasoning_tokens": 9, "chunk_tokens": [10], "chunk_offsets_s": [1.0], "unaccounted_tokens": 0}
    assert failed(validate([spoilt(tmp_path, hidden, at=slice(1))])) == set()


def test_what_was_not_enforced_is_no_fault_of_the_server(tmp_path: Path) -> None:
    off = spoilt(tmp_path, {"planned_output_tokens": 11}, at=slice(1), enforced_output_tokens=False)
    assert failed(validate([off])) == set()


def test_prompts_that_could_not_be_sized_exactly_are_not_compared_with_the_plan(tmp_path: Path) -> None:
    assert failed(validate([spoilt(tmp_path, {"input_tokens": 250}, exact_prompts=False)])) == set()


def test_a_failed_expectation_that_is_only_suspect_makes_the_level_suspect(tmp_path: Path) -> None:
    assert validate([with_a_long_drain(tmp_path)]).levels == {2: "suspect"}


def test_a_run_is_worth_what_its_worst_level_is_worth(tmp_path: Path) -> None:
    suspect = with_failures(tmp_path, count=1)
    verdict = validate([clean(tmp_path, 1), suspect, with_samples(tmp_path, None, streams=4)])
    assert verdict.levels == {1: "valid", 2: "suspect", 4: "invalid"}
    assert verdict.status == "invalid"
    assert validate([clean(tmp_path, 1), suspect]).status == "suspect"


def test_every_finding_has_its_run_level_severity_and_reason(tmp_path: Path) -> None:
    declared = {expectation.name: expectation for expectation in ALL}
    for finding in validate([clean(tmp_path, 1, run_id="r")]).findings:
        assert (finding.run_id, finding.concurrency) == ("r", 1)
        assert finding.severity == declared[finding.expectation].severity
        assert finding.reason == declared[finding.expectation].reason


def test_a_warm_up_that_was_too_short_is_a_drift(tmp_path: Path) -> None:
    """The first tenth of the answers come after three times as long."""
    samples = closed_loop(2, requests_each=40)
    slow = [replace(s, chunk_offsets_s=[0.09, *ALL_TOKENS[1:]]) for s in samples[:10]]
    fast = [replace(s, chunk_offsets_s=[0.03 + 0.001 * (n % 3), *ALL_TOKENS[1:]]) for n, s in enumerate(samples[10:])]
    assert failed(validate([with_samples(tmp_path, [*slow, *fast])])) == {"ttft_did_not_drift"}


def test_an_answer_of_another_configuration_is_of_another_server(tmp_path: Path) -> None:
    samples = [replace(s, fingerprint="vllm-a" if n < 5 else "vllm-b") for n, s in enumerate(closed_loop(2))]
    (finding,) = validate([with_samples(tmp_path, samples, fingerprint="vllm-a")]).failed
    assert finding.expectation == "the_server_stayed_the_same"
    assert "its fingerprint was vllm-a and is vllm-b" in finding.sentence


def test_servers_that_each_keep_their_fingerprint_have_not_changed(tmp_path: Path) -> None:
    samples = [
        replace(s, fingerprint=f"vllm-{'ab'[n % 2]}", server_address=f"10.0.0.{n % 2}:80")
        for n, s in enumerate(closed_loop(2))
    ]
    assert validate([with_samples(tmp_path, samples, fingerprint="vllm-a")]).failed == ()


@pytest.mark.parametrize("is_vllm", [True, False])
def test_counters_that_fall_are_of_no_use_and_nothing_is_made_of_them(is_vllm: bool, tmp_path: Path) -> None:
    samples = closed_loop(2)
    much = {key: 1000 + value for key, value in counted(samples).items()}
    path = server_says(tmp_path / "account.parquet", much, counted(samples))
    (finding,) = validate([with_samples(tmp_path, samples, server_metrics=path, is_vllm=is_vllm)]).failed
    assert finding.expectation == "the_server_gave_its_account"
    assert "its counters fell" in finding.sentence


def test_a_server_other_than_vllm_need_not_have_metrics(tmp_path: Path) -> None:
    error = "/metrics does not exist (404)."
    level = with_samples(tmp_path, closed_loop(2), server_metrics=None, server_error=error, is_vllm=False)
    assert not validate([level]).failed


def test_what_the_server_does_not_count_is_unknown_in_a_sentence(tmp_path: Path) -> None:
    said = {key: value for key, value in counted(closed_loop(2)).items() if key[0] != "finished_requests"}
    said["generation_tokens", ""] += 5
    path = server_says(tmp_path / "account.parquet", dict.fromkeys(said, 0.0), said)
    (finding,) = validate([with_samples(tmp_path, closed_loop(2), server_metrics=path)]).failed
    assert (
        "The server counted 5 tokens and an unknown number of requests that this run did not send." in finding.sentence
    )


QUIET = """
import socket
from pathlib import Path
from tests.level_sample import CLIENT, clean

def refuse(*arguments, **options):
    raise SystemExit(f"network: {arguments}")

socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from expectations.validate import validate
assert validate([clean(Path(__import__("sys").argv[1]), 2)]).status == "valid"
"""


def test_validation_says_nothing_and_calls_nobody(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", QUIET, str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
