"""A server's account against arithmetic by hand, and against requests of which the server may know more than we do."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapebench.analysis import level_samples
from shapebench.runs.samples_file import Sample
from shapebench.server_metrics.reconcile import (
    UNSURE_PROMPT_TOKENS,
    Reconciliation,
    ServerMetrics,
    mean_ttft_s,
    reconcile,
)
from tests.level_sample import ASKED, STARTED_NS, closed_loop, counted, refused, request, server_says, write

Said = dict[tuple[str, str], float]
SAMPLES = closed_loop(2)  # 12 requests of 200 and 10 tokens, warm-up included: 2400 and 120
SHARED_TOKENS = ASKED.shared_tokens  # 5, and 60 of all prompts
NAN = pytest.approx(math.nan, nan_ok=True)


def account(*moments: Said) -> ServerMetrics:
    """A second apart."""
    return ServerMetrics(
        pd.DataFrame(
            {"at_ns": STARTED_NS + second * 10**9, "metric": metric, "label": label, "value": float(value)}
            for second, said in enumerate(moments)
            for (metric, label), value in said.items()
        )
    )


def grown_by(**grown: float) -> ServerMetrics:
    """From some number, as of a server that was asked before."""
    said = {(metric, ""): value for metric, value in grown.items()}
    return account(dict.fromkeys(said, 1000), {key: 1000 + value for key, value in said.items()})


def requests_of(folder: Path, samples: list[Sample]) -> pd.DataFrame:
    write(samples, folder / "level.parquet")
    return level_samples.read(folder / "level.parquet").requests


def reconciled(folder: Path, samples: list[Sample], said: Said, shared_tokens: int = SHARED_TOKENS) -> Reconciliation:
    """With a server's count that began at zero; by way of the files."""
    path = server_says(folder / "server.parquet", dict.fromkeys(said, 0.0), said)
    return reconcile(requests_of(folder, samples), ServerMetrics.read(path), shared_tokens)


def test_a_counter_grows_from_the_first_moment_to_the_last() -> None:
    said = account(*({("prompt_tokens", ""): value} for value in (100, 500, 130)))
    assert said.growth("prompt_tokens") == 30


def test_a_counter_with_several_labels_is_summed_over_them() -> None:
    first = {("finished_requests", "stop"): 1, ("finished_requests", "length"): 2}
    last = {("finished_requests", "stop"): 5, ("finished_requests", "length"): 20}
    assert account(first, last).growth("finished_requests") == 22


def test_a_label_that_is_named_only_later_began_at_zero() -> None:
    first = {("finished_requests", "stop"): 1}
    assert account(first, {**first, ("finished_requests", "abort"): 4}).growth("finished_requests") == 4


def test_moments_count_by_their_times_and_not_by_their_rows() -> None:
    series = account({("preemptions", ""): 1}, {("preemptions", ""): 4}).series
    assert ServerMetrics(series[::-1]).growth("preemptions") == 3


def test_what_is_not_counted_has_not_grown_by_anything_known() -> None:
    said = grown_by(prompt_tokens=5)
    assert math.isnan(said.growth("preemptions"))
    assert math.isnan(said.mean("ttft_s"))
    assert math.isnan(said.max("kv_cache_usage"))


def test_the_mean_is_of_what_a_histogram_took_in_meanwhile() -> None:
    assert grown_by(ttft_s_sum=2.0, ttft_s_count=8).mean("ttft_s") == 0.25


def test_a_histogram_that_took_in_nothing_has_no_mean() -> None:
    assert math.isnan(grown_by(ttft_s_sum=0, ttft_s_count=0).mean("ttft_s"))


def test_the_most_is_the_greatest_of_all_moments() -> None:
    assert account(*({("kv_cache_usage", ""): value} for value in (0.1, 0.7, 0.2))).max("kv_cache_usage") == 0.7


def test_buckets_are_left_out_but_for_those_of_the_first_and_the_last_moment() -> None:
    said = {("ttft_s_bucket", "0.1"): 1, ("ttft_s_bucket", "+Inf"): 2, ("ttft_s_sum", ""): 3, ("preemptions", ""): 0}
    left = account(said, said, said, said).without_buckets_between()
    assert list(left.groupby("at_ns").size()) == [4, 2, 2, 4]
    assert set(left[left["at_ns"] == STARTED_NS + 10**9]["metric"]) == {"ttft_s_sum", "preemptions"}


def test_an_honest_account_has_all_of_our_load_and_nothing_else(tmp_path: Path) -> None:
    assert reconciled(tmp_path, SAMPLES, counted(SAMPLES)) == Reconciliation(
        foreign_requests=0, foreign_tokens=0, foreign_share=0, counted_share=1, uncached_hit_share=0
    )


def test_what_others_asked_is_counted_beside_ours(tmp_path: Path) -> None:
    said = counted(SAMPLES)
    said["finished_requests", "length"] += 1
    said["finished_requests", "abort"] = 1
    said["prompt_tokens", ""] += 15
    said["generation_tokens", ""] += 6
    found = reconciled(tmp_path, SAMPLES, said)
    assert (found.foreign_requests, found.foreign_tokens) == (2, 21)
    assert found.foreign_share == 21 / 2520
    assert found.counted_share > 1


@pytest.mark.parametrize(
    ("metric", "missing", "share"), [("prompt_tokens", 600, 0.75), ("generation_tokens", 30, 0.75)]
)
def test_the_share_that_was_counted_is_that_of_what_was_counted_least(
    metric: str, missing: int, share: float, tmp_path: Path
) -> None:
    said = counted(SAMPLES)
    said[metric, ""] -= missing
    found = reconciled(tmp_path, SAMPLES, said)
    assert found.counted_share == share
    assert found.foreign_tokens == 0


@pytest.mark.parametrize("kept", ["finished_requests", "prompt_tokens", "generation_tokens"])
def test_the_share_that_was_counted_is_known_by_whatever_the_server_counts(kept: str, tmp_path: Path) -> None:
    said = {key: value / 2 for key, value in counted(SAMPLES).items() if key[0] == kept}
    found = reconciled(tmp_path, SAMPLES, said)
    assert found.counted_share == 0.5
    assert math.isnan(found.foreign_tokens) == (kept == "finished_requests")


def test_a_server_that_counts_nothing_is_not_said_to_have_served_others(tmp_path: Path) -> None:
    found = reconciled(tmp_path, SAMPLES, {("running_requests", ""): 0})
    assert vars(found) == dict.fromkeys(vars(found), NAN)


def test_where_no_request_was_answered_no_share_of_them_was_counted(tmp_path: Path) -> None:
    found = reconciled(tmp_path, [refused(0, 0.0)], dict.fromkeys(counted(SAMPLES), 0))
    assert math.isnan(found.counted_share)
    assert found.foreign_tokens == 0


@pytest.mark.parametrize(
    "unsure",
    [
        request(12, 6.0, [0.1], planned_output_tokens=10, error_kind="reset", input_tokens=None, output_tokens=None),
        request(12, 6.0, [0.1] * 10, resent=True),
    ],
    ids=["broken off", "sent again"],
)
def test_a_request_that_failed_or_was_sent_again_may_have_been_answered_once_more(
    unsure: Sample, tmp_path: Path
) -> None:
    samples = [*SAMPLES, unsure]
    said = counted(samples)
    said["finished_requests", "length"] += 1
    said["prompt_tokens", ""] += 200 + UNSURE_PROMPT_TOKENS
    said["generation_tokens", ""] += 10
    found = reconciled(tmp_path, samples, said)
    assert (found.foreign_requests, found.foreign_tokens) == (0, 0)
    for metric, label in (("finished_requests", "length"), ("prompt_tokens", ""), ("generation_tokens", "")):
        more = {**said, (metric, label): said[metric, label] + 1}
        found = reconciled(tmp_path, samples, more)
        assert found.foreign_requests + found.foreign_tokens == 1


@pytest.mark.parametrize(
    "refusal", [{}, {"error_kind": "http_status", "http_status": 503}], ids=["nobody there", "turned away"]
)
def test_a_request_that_the_server_did_not_serve_makes_no_room_for_somebody_else_s(
    refusal: dict[str, Any], tmp_path: Path
) -> None:
    samples = [*SAMPLES, refused(12, 6.0, planned_output_tokens=10, **refusal)]
    said = counted(samples)
    said["generation_tokens", ""] += 1
    assert reconciled(tmp_path, samples, said).foreign_tokens == 1


@dataclass(frozen=True)
class Sent:
    """A request, how often the server answered it, and how much of the last answer it gave."""

    planned: tuple[int, int]
    template: int  # tokens of the prompt beside those planned
    failed: bool
    resent: bool
    answers: int
    given: float

    @property
    def counts(self) -> list[tuple[int, int]]:
        """Of prompt and answer, each time that the server took the request in."""
        prompt, answer = self.planned[0] + self.template, self.planned[1]
        taken_in = [(prompt, answer)] * self.answers
        if self.failed and taken_in:
            taken_in[-1] = (prompt, int(answer * self.given))
        return taken_in


@st.composite
def sent(draw: st.DrawFn) -> Sent:
    failed, resent = draw(st.booleans()), draw(st.booleans())
    return Sent(
        planned=(draw(st.integers(1, 4000)), draw(st.integers(1, 1000))),
        template=draw(st.integers(0, UNSURE_PROMPT_TOKENS)),
        failed=failed,
        resent=resent,
        answers=draw(st.integers(0 if failed else 1, 1 + resent)),
        given=draw(st.floats(0, 1)),
    )


@given(st.lists(sent(), min_size=1, max_size=30))
def test_whatever_failed_or_was_sent_again_is_never_taken_for_somebody_else_s(all_sent: list[Sent]) -> None:
    requests = pd.DataFrame(
        {
            "error_kind": "reset" if one.failed else None,
            "http_status": 200,
            "resent": one.resent,
            "planned_input_tokens": one.planned[0],
            "planned_output_tokens": one.planned[1],
            "input_tokens": math.nan if one.failed else one.planned[0] + one.template,
            "output_tokens": math.nan if one.failed else one.planned[1],
        }
        for one in all_sent
    )
    counts = [count for one in all_sent for count in one.counts]
    theirs = grown_by(
        finished_requests=len(counts),
        prompt_tokens=sum(prompt for prompt, _ in counts),
        generation_tokens=sum(answer for _, answer in counts),
    )
    found = reconcile(requests, theirs, 0)
    assert (found.foreign_requests, found.foreign_tokens, found.foreign_share) == (0, 0, 0)
    assert found.counted_share >= 1 or all(one.failed for one in all_sent)


@pytest.mark.parametrize(("hits", "share"), [(0, 0), (59, 0), (60, 0), (84, 0.01), (2400, 0.975)])
def test_hits_count_beyond_the_tokens_that_all_prompts_share(hits: int, share: float, tmp_path: Path) -> None:
    said = {**counted(SAMPLES), ("prefix_cache_hit_tokens", ""): hits}
    assert reconciled(tmp_path, SAMPLES, said).uncached_hit_share == pytest.approx(share)


def test_where_prompts_share_nothing_each_hit_counts(tmp_path: Path) -> None:
    said = {**counted(SAMPLES), ("prefix_cache_hit_tokens", ""): 24}
    assert reconciled(tmp_path, SAMPLES, said, shared_tokens=0).uncached_hit_share == pytest.approx(0.01)


@pytest.mark.parametrize("left_out", ["prefix_cache_hit_tokens", "prefix_cache_queried_tokens"])
def test_a_server_without_a_prefix_cache_has_no_share_of_hits(left_out: str, tmp_path: Path) -> None:
    said = {key: value for key, value in counted(SAMPLES).items() if key[0] != left_out}
    assert math.isnan(reconciled(tmp_path, SAMPLES, said).uncached_hit_share)


def test_the_mean_ttft_is_of_all_that_had_a_first_token(tmp_path: Path) -> None:
    warm_up, broken = request(0, 0.0, [0.2], warmup=True), request(1, 1.0, [0.4], error_kind="reset")
    samples = [warm_up, broken, request(2, 2.0, [0.9, 1.0]), refused(3, 3.0)]
    assert mean_ttft_s(requests_of(tmp_path, samples)) == pytest.approx(0.5)


def test_without_a_first_token_there_is_no_mean_ttft(tmp_path: Path) -> None:
    assert math.isnan(mean_ttft_s(requests_of(tmp_path, [refused(0, 0.0)])))
