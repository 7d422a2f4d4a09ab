"""For every expectation a level that commits exactly that sin; its known companions fail with it, and nothing else."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest

from expectations import validate as validation
from expectations.declared import ANSWERS, LEVEL, Declared, gxe
from expectations.table import PAGE, page
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
Sin = Callable[[Path], MeasuredLevel]


def spoilt(
    data: Path, changes: dict[str, Any], streams: int = 2, at: slice = slice(None), **of_level: Any
) -> MeasuredLevel:
    """A clean level but for fields of its measured samples, or of those of them that `at` picks."""
    samples = closed_loop(streams)
    picked = [n for n, sample in enumerate(samples) if not sample.warmup][at]
    return committed(data, [replace(s, **changes) if n in picked else s for n, s in enumerate(samples)], **of_level)


def committed(data: Path, samples: list[Sample] | None, streams: int = 2, **of_level: Any) -> MeasuredLevel:
    return summarise_level(level(data, streams, samples, **of_level))


def of_client(data: Path, **changes: float) -> MeasuredLevel:
    """A clean level, but for how the client fared."""
    return committed(data, closed_loop(2), client=CLIENT | changes)


def tried_out(**found: float) -> Calibration:
    return replace(Calibration(2, 1, requests=10), **found)


def with_late_sends(data: Path) -> MeasuredLevel:
    """6 of 100 requests, each so little late that the streams were as good as busy."""
    return committed(data, closed_loop(2, requests_each=50), client=CLIENT | {"late_sends": 6.0})


def with_failures(data: Path, count: int, requests: int = 110) -> MeasuredLevel:
    """The last ones fail, each by the way of a stream that is busy all the time."""
    samples = closed_loop(2, requests_each=requests // 2)
    failed = {"chunk_offsets_s": [], "chunk_tokens": [], "output_tokens": None, "error_kind": "reset"}
    return committed(data, [*samples[:-count], *(replace(sample, **failed) for sample in samples[-count:])])


def with_a_stream_that_pauses(data: Path) -> MeasuredLevel:
    """Stream 1 is idle for 0.4 s of the 4.99 s in the window: (2 * 4.99 - 0.4) / (2 * 4.99) is 96.0%."""
    late = [
        replace(s, sent_at_ns=s.sent_at_ns + 400_000_000 * (s.stream and s.request_index > 5)) for s in closed_loop(2)
    ]
    return committed(data, late)


def with_a_long_drain(data: Path) -> MeasuredLevel:
    """The last answer of stream 0 takes 20 s; all streams are busy for 5 s of 24."""
    *others, last, _ = samples = closed_loop(2)
    slow = replace(last, chunk_offsets_s=[2.0 * token for token in range(1, 11)], ended_s=20.0)
    return committed(data, [*others, slow, samples[-1]])


def with_a_stream_that_dies(data: Path) -> MeasuredLevel:
    """One of 10 streams, after 6 of its 10 requests."""
    alive = [s for s in closed_loop(10, requests_each=10) if s.stream or s.request_index < 70]
    return committed(data, alive, streams=10)


def with_a_drift(data: Path) -> MeasuredLevel:
    """The time to first token doubles from the first request to the last."""
    samples = closed_loop(2, requests_each=60)
    return committed(
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
    return committed(data, changed, requested=replace(ASKED, **{f"{kind}_tokens": Lengths(100, 20)}))


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
    return committed(data, samples, server_metrics=path)


def with_pauses_at_one_stream(data: Path) -> MeasuredLevel:
    """0.1 s before each request of 1 s: system throughput is 10 / 1.1 of a query's."""
    return committed(data, [request(n, 1.1 * n, [0.1 * t for t in range(1, 11)], warmup=n == 0) for n in range(6)], 1)


OUT_OF_ORDER = [0.1, 0.3, 0.2, *(0.1 * token for token in range(4, 11))]
ALL_TOKENS = [0.1 * token for token in range(1, 11)]
NONE = frozenset[str]()
IMPOSSIBLE = frozenset({"metrics_are_possible"})

# The sin, and the companions that fail with it.
SINS: dict[str, tuple[Sin, frozenset[str]]] = {
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
    "level_ran_to_its_end": (lambda d: committed(d, closed_loop(2), error="It was stopped."), NONE),
    "requests_are_accounted_for": (lambda d: committed(d, closed_loop(2), planned_requests=11), NONE),
    "requests_completed": (
        lambda d: committed(d, [refused(n, n, stream=n) for n in range(2)]),
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
        lambda d: committed(d, closed_loop(2), requested=replace(ASKED, weights_read_s=0.2)),
        NONE,
    ),
    "the_server_gave_its_account": (
        lambda d: committed(d, closed_loop(2), server_metrics=None, server_error="/metrics is not there (404)."),
        NONE,
    ),
    "the_server_stayed_the_same": (
        lambda d: committed(d, closed_loop(2), server_changes=("version was 0.11.0 and is 0.11.1",)),
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
    "client_adds_little": (lambda d: committed(d, closed_loop(2), calibration=tried_out(added_ttft_p50_s=0.02)), NONE),
    "successors_were_sent_at_once": (with_late_sends, NONE),
    "tokens_came_apart": (lambda d: of_client(d, shared_receive_tokens=2.0), NONE),
    "clock_did_not_step": (lambda d: of_client(d, clock_step_s=0.5), NONE),
    "is_as_precise_as_asked": (lambda d: committed(d, closed_loop(2), until_precise=0.02), NONE),
    "output_lengths_are_near": (
        lambda d: spoilt(d, {"planned_output_tokens": 12}, enforced_output_tokens=False),
        NONE,
    ),
    "one_stream_agrees_with_itself": (with_pauses_at_one_stream, frozenset({"concurrency_was_held"})),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    """What is said of each sin."""
    return {name: validate([commit(tmp_path_factory.mktemp(name))]) for name, (commit, _) in SINS.items()}


def failed(verdict: Verdict) -> set[str]:
    return {finding.expectation for finding in verdict.failed}


@pytest.mark.parametrize("name", SINS)
def test_a_sin_fails_its_expectation_and_its_known_companions_only(name: str, verdicts: dict[str, Verdict]) -> None:
    _, companions = SINS[name]
    assert failed(verdicts[name]) == {name, *companions}


def test_every_expectation_has_its_sin_and_says_what_it_is() -> None:
    assert all(declared.sin.endswith(".") for declared in (*LEVEL, *ANSWERS))
    assert set(SINS) == {declared.name for declared in (*LEVEL, *ANSWERS)}


def test_the_page_of_expectations_is_written_anew_by_make_docs() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("concurrency", [1, 2, 16])
def test_a_clean_level_fails_nothing(concurrency: int, tmp_path: Path) -> None:
    verdict = validate([clean(tmp_path, concurrency)])
    assert verdict.failed == ()
    assert verdict.levels == {concurrency: "valid"}


def test_a_client_that_adds_little_fails_nothing(tmp_path: Path) -> None:
    assert failed(validate([clean(tmp_path, 2, calibration=tried_out(added_ttft_p50_s=0.0001))])) == set()


def test_a_client_that_could_not_be_tried_out_is_not_said_to_add_anything(tmp_path: Path) -> None:
    found = validate([clean(tmp_path, 2, calibration=Calibration(2, 1, error="No file can be opened."))]).findings
    assert "client_adds_little" not in {finding.expectation for finding in found}


def test_at_one_stream_the_time_of_a_failed_request_is_not_held_against_the_client(tmp_path: Path) -> None:
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
    assert "one_stream_agrees_with_itself" not in failed(validate([committed(tmp_path, spoilt, 1)]))


SENTENCES = {
    "client_kept_up": "No measuring process was busy for more than 85% of the time: not so, "
    "one was for 90% of it; 2 processes would do (load.processes).",
    "client_adds_little": "The client, tried out against a server of known timing, added no more than 2 ms to the "
    "median TTFT: not so, it added 0.02 s.",
    "successors_were_sent_at_once": "No more than 5% of the requests were sent later than 10 ms after their stream was "
    "free: not so, 6.0% were.",
    "tokens_came_apart": "No more than 1% of the tokens came in one receive with the one before: not so, 2.0% did.",
    "clock_did_not_step": "The clock was not set while the level ran: not so, it was, by 0.5 s.",
    "is_as_precise_as_asked": "The means of TTFT and throughput are known as precisely as was asked: not so, "
    "the wider interval is inf times that (inf: it was too short to tell).",
    "ttft_is_positive": "The first token arrives after its request was sent: not so, "
    "1 of 10 are otherwise, one with its first token after -0.1 s.",
    "ttft_is_not_after_the_end": "The first token arrives no later than the last: not so, "
    "1 of 10 are otherwise, one with its last after 1 s and its first after 1.2 s.",
    "token_counts_are_present": "The server counted at least one output token for each answer: not so, "
    "1 of 10 have none.",
    "chunks_agree_with_usage": "The chunks of each answer carry as many tokens as the server counted: not so, "
    "1 of 10 are otherwise, one with 9 in its chunks and 10 counted.",
    "output_lengths_are_as_asked": "Each answer has exactly the length asked for: not so, "
    "1 of 10 have not, one is -1 tokens off.",
    "input_lengths_are_as_asked": "The server counts as many prompt tokens as were planned, 2 more or fewer: not so, "
    "1 of 10 are otherwise, one is +3 tokens off.",
    "level_ran_to_its_end": "The measuring process ran to its end: not so, it was cut short.",
    "requests_are_accounted_for": "Every planned request is there, completed or failed: not so, 1 are missing.",
    "requests_completed": "At least one request completed: not so, none did.",
    "metrics_are_possible": "Every number lies within the bounds of its metric: not so, out of bounds: 1.",
    "errors_are_few": "No more than 5% of the requests failed: not so, 5.45% did.",
    "no_errors": "No request failed: not so, 4.55% of them did.",
    "concurrency_was_held": "Within 2%, as many requests were in flight in the steady window as the level says: "
    "not so, there were 96.0% of them.",
    "steady_window_is_long": "All streams were busy for at least half of the time measured: not so, "
    "they were for 21% of it.",
    "output_lengths_are_near": "The answers have 90 to 110% of the length asked for: not so, they have 83% of it.",
    "one_stream_agrees_with_itself": "With one stream, system throughput and the throughput of the queries agree "
    "within 5%: not so, the system's is 92.6% of theirs.",
    "enough_requests_for_the_percentiles": "Enough requests completed for every percentile that enough were "
    "planned for: not so, 99 of the 100 planned did, too few for p95.",
    "every_stream_was_alive_to_the_end": "Every stream went on until there was no more to send: not so, "
    "1 of 10 ended before that.",
    "input_lengths_have_the_mean_asked": "Prompts have the mean length asked for, as near as chance allows: not so, "
    "it is 114.0, where 100 with a standard deviation of 20 was asked for.",
    "input_lengths_have_the_spread_asked": "Prompts have the spread of lengths asked for, as near as chance allows: "
    "not so, their standard deviation is 29.8, where 100 with a standard deviation of 20 was asked for.",
    "output_lengths_have_the_shape_asked": "Answers follow the distribution of lengths asked for, as near as chance "
    "allows (Kolmogorov-Smirnov): not so, they differ 1.2 times as much as chance alone would have it, "
    "where 100 with a standard deviation of 20 was asked for.",
    "ttft_did_not_drift": "From the first request to the last, the time to first token neither rose nor fell by more "
    "than 10%: not so, it changed by +63%, of which at least +63% is not chance.",
    "no_faster_than_the_memory": "Tokens follow each other no faster than the shape's memory can be read for them: "
    "not so, they came 2.0 times as fast.",
    "the_server_gave_its_account": "The server's own counters could be read before and after the level: not so, "
    "they could not: /metrics is not there (404).",
    "the_server_stayed_the_same": "The server's version and configuration are the same after the level as before the "
    "run: not so, version was 0.11.0 and is 0.11.1.",
    "no_foreign_traffic": "The server counted no tokens but those of the requests that were sent: not so, "
    "it counted 20 more, and requests that were not sent: 1.",
    "foreign_traffic_is_little": "What others sent is no more than 1% of the tokens: not so, it is 100.0% of our own.",
    "the_server_counted_our_load": "The server counted at least 99% of the requests and tokens that were answered: "
    "not so, it counted 50.0% of them.",
    "ttft_is_not_below_the_servers": "The server does not report a longer mean time to first token than the client "
    "saw, give or take 1%: not so, it is 0.1 s, and 0.18 s by the server's.",
    "prompts_were_not_cached": "The prefix cache had no more than 1% of the prompts' tokens, beside those that all "
    "prompts share: not so, it had 47.5%.",
    "no_preemptions": "The server preempted no request: not so, it did 3 times.",
}


@pytest.mark.parametrize("name", SENTENCES)
def test_the_sentence_says_what_was_expected_and_what_was_seen(name: str, verdicts: dict[str, Verdict]) -> None:
    assert next(f.sentence for f in verdicts[name].failed if f.expectation == name) == SENTENCES[name]


def test_an_expectation_that_holds_is_said_as_it_is(tmp_path: Path) -> None:
    assert "No request failed." in {finding.sentence for finding in validate([clean(tmp_path, 1)]).findings}


def test_an_expectation_that_cannot_be_checked_has_failed_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = gxe.ExpectColumnValuesToMatchRegex(column="completed", regex="(")
    declared = Declared("wrong", "invalid", "It is as it should be", "it is {0}", "It matters.", wrong, "None.")
    monkeypatch.setattr(validation, "LEVEL", (declared,))
    (finding,) = validate([clean(tmp_path, 1)]).failed
    assert finding.sentence.startswith("It is as it should be: not so, it could not be checked (")


def test_a_level_without_samples_is_invalid_and_nothing_is_said_of_its_requests(tmp_path: Path) -> None:
    verdict = validate([summarise_level(level(tmp_path, 2, None))])
    assert verdict.status == "invalid"
    assert {f.expectation for f in verdict.findings} == {f.expectation for f in verdict.failed}
    assert "no_errors" not in {finding.expectation for finding in verdict.findings}


def test_a_level_whose_file_holds_no_request_is_invalid(tmp_path: Path) -> None:
    assert validate([committed(tmp_path, [], error="It was stopped.")]).status == "invalid"


def test_queries_of_very_different_speed_agree_with_one_busy_stream(tmp_path: Path) -> None:
    fast, slow = [0.01 * token for token in range(1, 11)], [float(token) for token in range(1, 11)]
    answers = [request(0, 0.0, fast, warmup=True), request(1, 0.1, fast), request(2, 0.2, slow), request(3, 10.2, fast)]
    assert failed(validate([committed(tmp_path, answers, streams=1)])) == set()


def test_what_was_not_enforced_is_not_held_against_the_server(tmp_path: Path) -> None:
    off = spoilt(tmp_path, {"planned_output_tokens": 11}, at=slice(1), enforced_output_tokens=False)
    assert failed(validate([off])) == set()


def test_prompts_that_could_not_be_sized_exactly_are_not_held_against_the_plan(tmp_path: Path) -> None:
    assert failed(validate([spoilt(tmp_path, {"input_tokens": 250}, exact_prompts=False)])) == set()


def test_a_failed_expectation_that_is_only_suspect_makes_the_level_suspect(tmp_path: Path) -> None:
    assert validate([with_a_long_drain(tmp_path)]).levels == {2: "suspect"}


def test_a_run_is_worth_what_its_worst_level_is_worth(tmp_path: Path) -> None:
    suspect = with_failures(tmp_path, count=1)
    verdict = validate([clean(tmp_path, 1), suspect, committed(tmp_path, None, streams=4)])
    assert verdict.levels == {1: "valid", 2: "suspect", 4: "invalid"}
    assert verdict.status == "invalid"
    assert validate([clean(tmp_path, 1), suspect]).status == "suspect"


def test_every_finding_has_its_run_level_severity_and_reason(tmp_path: Path) -> None:
    declared = {d.name: d for d in (*LEVEL, *ANSWERS)}
    for finding in validate([clean(tmp_path, 1, run_id="r")]).findings:
        assert (finding.run_id, finding.concurrency) == ("r", 1)
        assert finding.severity == declared[finding.expectation].severity
        assert finding.reason == declared[finding.expectation].reason


def test_a_warm_up_that_was_too_short_is_a_drift(tmp_path: Path) -> None:
    """The first tenth of the answers come after three times as long."""
    samples = closed_loop(2, requests_each=40)
    slow = [replace(s, chunk_offsets_s=[0.09, *ALL_TOKENS[1:]]) for s in samples[:10]]
    fast = [replace(s, chunk_offsets_s=[0.03 + 0.001 * (n % 3), *ALL_TOKENS[1:]]) for n, s in enumerate(samples[10:])]
    assert failed(validate([committed(tmp_path, [*slow, *fast])])) == {"ttft_did_not_drift"}


def test_an_answer_of_another_configuration_is_of_another_server(tmp_path: Path) -> None:
    samples = [replace(s, fingerprint="vllm-a" if n < 5 else "vllm-b") for n, s in enumerate(closed_loop(2))]
    (finding,) = validate([committed(tmp_path, samples, fingerprint="vllm-a")]).failed
    assert finding.expectation == "the_server_stayed_the_same"
    assert "its fingerprint was vllm-a and is vllm-b" in finding.sentence


def test_counters_that_fall_are_of_no_use_and_nothing_is_made_of_them(tmp_path: Path) -> None:
    samples = closed_loop(2)
    much = {key: 1000 + value for key, value in counted(samples).items()}
    path = server_says(tmp_path / "account.parquet", much, counted(samples))
    (finding,) = validate([committed(tmp_path, samples, server_metrics=path)]).failed
    assert finding.expectation == "the_server_gave_its_account"
    assert "its counters fell" in finding.sentence


def test_what_the_server_does_not_count_is_not_a_number_in_a_sentence(tmp_path: Path) -> None:
    said = {key: value for key, value in counted(closed_loop(2)).items() if key[0] != "finished_requests"}
    said["generation_tokens", ""] += 5
    path = server_says(tmp_path / "account.parquet", dict.fromkeys(said, 0.0), said)
    (finding,) = validate([committed(tmp_path, closed_loop(2), server_metrics=path)]).failed
    assert finding.sentence.endswith("it counted 5 more, and requests that were not sent: nan.")


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
