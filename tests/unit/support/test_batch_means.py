"""Intervals against arithmetic by hand, and against levels simulated by the hundred, whose true means are known."""

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import orjson
import pytest
from scipy import stats

from shapebench.support.batch_means import (
    MIN_BATCHES,
    MIN_S,
    Buckets,
    Interval,
    Precision,
    UntilPrecise,
    differ,
    difference,
    is_precise,
    precision,
    t_quantile,
)

Values = npt.NDArray[np.float64]

# What is simulated: streams that ask again and again, TTFTs log-normal with a spread of 25 %, answers of 50 tokens on
# average at 4 ms each. TTFTs are AR(1) from one request of a stream to its next, and the n-th of all streams have some
# of their randomness in common, as streams of one server have. The true means are exact: a stream's TTFTs are
# stationary, and its throughput is that of a renewal process, tokens over time of the average request.
TTFT_S, TTFT_SPREAD, GAP_S, TOKENS = 0.1, 0.25, 0.004, 50
IN_COMMON = 0.3


def add_answer(buckets: Buckets, sent_s: float, ttft_s: float, e2e_s: float, tokens: float) -> None:
    """As a level does with a whole answer."""
    buckets.add_tokens(sent_s, e2e_s, tokens)
    buckets.add_ttft(sent_s, ttft_s)


@dataclass(frozen=True)
class Level:
    """A simulated one; `to_s` is when its first stream ends."""

    buckets: Buckets
    streams: int
    from_s: float
    to_s: float

    def precision(self) -> Precision:
        return precision(self.buckets, self.from_s, self.to_s, self.streams)

    @property
    def throughput(self) -> float:
        """The true one."""
        return self.streams * TOKENS / (TTFT_S + TOKENS * GAP_S)


def ar1(rng: np.random.Generator, shape: tuple[int, int, int], correlation: float) -> Values:
    """Standard normal along the last axis."""
    found = rng.standard_normal(shape)
    found[..., 1:] *= math.sqrt(1 - correlation**2)
    for turn in range(1, shape[-1]):
        found[..., turn] += correlation * found[..., turn - 1]
    return found


def levels(count: int, streams: int, requests: int, correlation: float) -> Iterator[Level]:
    """So many requests of each stream."""
    rng = np.random.default_rng(20261124)
    noise = math.sqrt(1 - IN_COMMON) * ar1(rng, (count, streams, requests), correlation)
    noise += math.sqrt(IN_COMMON) * ar1(rng, (count, 1, requests), correlation)
    sigma = math.sqrt(math.log(1 + TTFT_SPREAD**2))
    ttft_s = TTFT_S * np.exp(sigma * noise - sigma**2 / 2)
    tokens = rng.integers(TOKENS - 10, TOKENS + 11, noise.shape)
    e2e_s = ttft_s + GAP_S * tokens
    ended_s = np.cumsum(e2e_s, axis=-1) + rng.uniform(0, TTFT_S + TOKENS * GAP_S, (count, streams, 1))
    return (level(*columns) for columns in zip(ended_s, ttft_s, e2e_s, tokens, strict=True))


def level(ended_s: Values, ttft_s: Values, e2e_s: Values, tokens: Values) -> Level:
    """Of rows of streams."""
    buckets = Buckets()
    for answer in zip(*(a.ravel().tolist() for a in (ended_s - e2e_s, ttft_s, e2e_s, tokens)), strict=True):
        add_answer(buckets, *answer)
    return Level(buckets, len(ended_s), float(ended_s[:, 0].max()), float(ended_s[:, -1].min()))


def holds(interval: Interval | None, true: float) -> bool:
    assert interval
    return abs(interval.mean - true) <= interval.half_width


def coverage(found: list[tuple[Level, Precision]]) -> tuple[float, float]:
    """The shares of levels whose intervals hold the true mean TTFT and throughput."""
    ttft = np.mean([holds(p.ttft, TTFT_S) for _, p in found])
    return float(ttft), float(np.mean([holds(p.throughput, level.throughput) for level, p in found]))


# Simulated levels


@pytest.mark.parametrize(("streams", "requests", "correlation"), [(1, 60, 0.0), (8, 40, 0.0), (1, 150, 0.6)])
def test_an_interval_holds_the_true_mean_in_about_95_of_100_levels(
    streams: int, requests: int, correlation: float
) -> None:
    found = [(level, level.precision()) for level in levels(300, streams, requests, correlation)]
    assert min(coverage(found)) >= 0.92


@cache
def stopped(correlation: float, requests: int) -> list[tuple[Level, Precision]]:
    """Levels, each stopped when it was precise to 5 %, with what was known then."""
    found = []
    for level in levels(300, 4, requests, correlation):
        until = UntilPrecise(0.05, level.streams)
        looks_s = np.arange(level.from_s + MIN_S, level.to_s, 0.5)
        at_s = next((s for s in looks_s if until.reached(level.buckets, level.from_s, s)), None)
        if at_s:
            found.append((level, precision(level.buckets, level.from_s, at_s, level.streams)))
    return found


STOPPED = pytest.mark.parametrize(("correlation", "requests"), [(0.0, 180), (0.5, 450)])


@STOPPED
def test_nearly_all_of_these_levels_get_precise(correlation: float, requests: int) -> None:
    assert len(stopped(correlation, requests)) >= 0.95 * 300  # few are left out of what the next test looks at


@STOPPED
def test_an_interval_at_the_stop_holds_the_true_mean_in_90_of_100_levels(correlation: float, requests: int) -> None:
    assert min(coverage(stopped(correlation, requests))) >= 0.9


@cache
def pairs(correlation: float) -> list[tuple[Precision, Precision]]:
    """A thousand times two levels of the same server."""
    found = [level.precision() for level in levels(2000, 1, 60 if not correlation else 90, correlation)]
    return list(zip(found[::2], found[1::2], strict=True))


OF_INTEREST: tuple[Callable[[Precision], Interval | None], ...] = (lambda p: p.ttft, lambda p: p.throughput)


@pytest.mark.parametrize("correlation", [0.0, 0.5])
@pytest.mark.parametrize("of", OF_INTEREST, ids=["TTFT", "throughput"])
def test_two_levels_that_are_the_same_are_called_different_in_at_most_5_of_100_pairs(
    of: Callable[[Precision], Interval | None], correlation: float
) -> None:
    assert np.mean([differ(some(of(a)), some(of(b))) for a, b in pairs(correlation)]) <= 0.05


def some(interval: Interval | None) -> Interval:
    assert interval
    return interval


def test_a_server_that_got_slower_is_found_different() -> None:
    slower = [Interval(some(a.ttft).mean * 1.3, some(a.ttft).standard_error, 19) for a, _ in pairs(0.0)]
    assert np.mean([differ(some(a.ttft), b) for (a, _), b in zip(pairs(0.0), slower, strict=True)]) > 0.9


# What buckets hold


def test_a_bucket_counts_the_first_tokens_that_came_in_it() -> None:
    buckets = Buckets()
    for sent_s, ttft_s in ((0.0, 0.15), (0.11, 0.05), (0.11, 0.2)):
        add_answer(buckets, sent_s, ttft_s, e2e_s=0.25, tokens=3)
    assert buckets.answers == [0, 2, 0, 1]
    assert buckets.ttft_s == pytest.approx([0, 0.2, 0, 0.2])


def test_an_answers_tokens_are_spread_evenly_over_its_time() -> None:
    buckets = Buckets()
    add_answer(buckets, sent_s=0.05, ttft_s=0.15, e2e_s=0.2, tokens=8)  # until 0.25
    assert buckets.tokens == pytest.approx([2, 4, 2])


def test_an_answer_within_one_bucket_leaves_all_its_tokens_there() -> None:
    buckets = Buckets()
    add_answer(buckets, sent_s=0.12, ttft_s=0.01, e2e_s=0.05, tokens=8)
    assert buckets.tokens == pytest.approx([0, 8])


def test_a_single_token_that_came_at_once_is_counted() -> None:
    buckets = Buckets()
    add_answer(buckets, sent_s=0.12, ttft_s=0.0, e2e_s=0.0, tokens=1)
    assert sum(buckets.tokens) == pytest.approx(1, abs=1e-3)


def test_a_moment_before_the_start_is_in_the_first_bucket() -> None:
    buckets = Buckets()  # a clock that is set back makes such
    buckets.add_ttft(sent_s=-5.0, ttft_s=0.2)
    assert buckets.answers == [1]


def test_tokens_of_the_warm_up_add_no_ttft() -> None:
    buckets = Buckets()
    buckets.add_tokens(0.0, 0.2, 10)
    assert sum(buckets.answers) == sum(buckets.ttft_s) == 0


def test_processes_that_share_a_level_add_up() -> None:
    one, other, both = Buckets(), Buckets(), Buckets()
    for part, answer in ((one, (0.0, 0.1, 0.5, 7)), (other, (0.3, 0.2, 0.9, 5))):
        add_answer(part, *answer)
        add_answer(both, *answer)
    merged = Buckets.merge([one, other])
    assert merged.answers == both.answers
    assert merged.ttft_s == pytest.approx(both.ttft_s)
    assert merged.tokens == pytest.approx(both.tokens)


def test_what_is_taken_of_a_process_bit_by_bit_is_all_that_it_had() -> None:
    process, whole, copy = Buckets(), Buckets(), Buckets()
    for answer in ((0.3, 0.1, 0.5, 7), (2.1, 0.2, 0.9, 5), (1.7, 0.1, 0.9, 5)):
        add_answer(process, *answer)
        add_answer(whole, *answer)
        copy.add(json.loads(json.dumps(process.take())))
    assert copy.answers == whole.answers
    assert copy.ttft_s == pytest.approx(whole.ttft_s)
    assert copy.tokens == pytest.approx(whole.tokens)


def test_what_was_taken_is_not_taken_again() -> None:
    buckets, copy = steady(5), Buckets()
    buckets.take()
    copy.add(buckets.take())
    assert copy == Buckets()


def test_no_process_at_all_has_no_answers() -> None:
    assert Buckets.merge([]) == Buckets()


def test_buckets_go_through_json_and_back() -> None:
    buckets = next(levels(1, 2, 20, 0.0)).buckets
    assert Buckets(**json.loads(orjson.dumps(buckets))) == buckets


# What is known of a level


def steady(rounds: int, streams: int = 1, ttft_s: float = 0.37, e2e_s: float = 1.03) -> Buckets:
    """A server whose every answer is like the last."""
    buckets = Buckets()
    for turn in range(rounds):
        for _ in range(streams):
            add_answer(buckets, turn * e2e_s, ttft_s, e2e_s, 50)
    return buckets


def test_one_stream_of_a_server_without_variation_is_known_exactly() -> None:
    found = precision(steady(40), 0, 40, 1)
    assert (some(found.ttft).mean, some(found.throughput).mean) == pytest.approx((0.37, 50 / 1.03))
    assert max(some(found.ttft).relative, some(found.throughput).relative) < 1e-6


def test_an_interval_is_that_of_its_batch_means() -> None:
    ttfts_s = [0.2, 0.4, 0.3, 0.1, 0.5]  # neighbours do not resemble each other
    buckets = Buckets(width_s=1.0)
    for slice_, ttft_s in enumerate(ttfts_s):
        for _ in range(2):
            add_answer(buckets, slice_, ttft_s, 0.9, 10)
    found = some(precision(buckets, 0, 5, 1).ttft)
    error = np.std(ttfts_s, ddof=1) / math.sqrt(5)
    assert (found.mean, found.standard_error, found.freedom) == pytest.approx((0.3, error, 4))
    assert found.half_width == pytest.approx(2.776 * error, rel=1e-3)


def test_a_slice_counts_by_its_answers() -> None:
    buckets = Buckets(width_s=1.0)
    for slice_, (answers, ttft_s) in enumerate([(18, 0.1), (2, 0.9), (18, 0.1), (2, 0.9), (18, 0.1)]):
        for _ in range(answers):
            add_answer(buckets, slice_, ttft_s, 0.95, 10)
    assert some(precision(buckets, 0, 5, 1).ttft).mean == pytest.approx((54 * 0.1 + 4 * 0.9) / 58)


def test_slices_without_a_first_token_do_no_harm() -> None:
    found = some(precision(steady(24, streams=4, e2e_s=5.0), 0, 120, 4).ttft)
    assert (found.mean, found.half_width) == pytest.approx((0.37, 0))


def test_slices_that_resemble_their_neighbours_widen_the_interval() -> None:
    def error(ttfts_s: list[float]) -> float:
        buckets = Buckets(width_s=1.0)
        for slice_, ttft_s in enumerate(np.repeat(ttfts_s, 2)):
            add_answer(buckets, slice_ // 2, ttft_s, 0.95, 10)
        return some(precision(buckets, 0, len(ttfts_s), 1).ttft).standard_error

    assert error([0.1] * 10 + [0.5] * 10) > 3 * error([0.1, 0.5] * 10)


def test_too_few_requests_give_no_interval() -> None:
    assert precision(steady(9), 0, 9, 1) == Precision(None, None)


def test_a_moment_without_length_gives_no_interval() -> None:
    assert precision(Buckets(), 5, 5, 1) == Precision(None, None)


def test_enough_requests_for_one_stream_are_too_few_for_many() -> None:
    assert precision(steady(40), 0, 40, streams=32) == Precision(None, None)


def test_the_last_buckets_count_although_nothing_came_in_them() -> None:
    assert some(precision(steady(40, e2e_s=1.0), 0, 80, 1).throughput).mean == pytest.approx(25)


def test_the_warm_up_does_not_count() -> None:
    buckets = Buckets()
    for turn in range(40):
        add_answer(buckets, turn, 0.9 if turn < 10 else 0.2, 1.0, 50)
    assert some(precision(buckets, 10, 40, 1).ttft).mean == pytest.approx(0.2)


def test_what_is_added_after_a_moment_does_not_change_what_was_known_until_then() -> None:
    buckets = steady(40)
    before = precision(buckets, 0, 40, 1)
    add_answer(buckets, sent_s=40.0, ttft_s=3.0, e2e_s=5.0, tokens=900)
    assert precision(buckets, 0, 40, 1) == before


# When it is enough


def narrow(freedom: float = 19, error: float = 0.005) -> Interval:
    return Interval(1.0, error, freedom)


def test_a_level_is_precise_enough_when_both_intervals_are_narrow() -> None:
    assert is_precise(Precision(narrow(), narrow()), 0.02)


@pytest.mark.parametrize("lacking", [None, narrow(error=0.02), narrow(freedom=MIN_BATCHES - 1)])
def test_a_level_is_not_precise_enough_where_one_interval_is_lacking_or_wide_or_of_few_batches(
    lacking: Interval | None,
) -> None:
    assert not is_precise(Precision(narrow(), lacking), 0.02)
    assert not is_precise(Precision(lacking, narrow()), 0.02)


def test_a_mean_of_nothing_is_never_precise() -> None:
    assert Interval(0.0, 0.0, 19).relative == math.inf


def stops_s(buckets: Buckets, looks_s: list[float]) -> list[float]:
    until = UntilPrecise(0.02, streams=1)
    return [at_s for at_s in looks_s if until.reached(buckets, 0, at_s)]


def test_a_level_is_not_stopped_the_first_time_that_it_looks_precise() -> None:
    assert stops_s(steady(300), [100.0, 200.0]) == [200.0]


def test_a_look_at_nearly_the_same_level_is_no_second_look() -> None:
    assert stops_s(steady(300), [100.0, 101.0, 105.0, 109.0]) == []


def test_a_level_is_watched_for_a_while_however_precise_it_looks() -> None:
    assert min(stops_s(steady(3000, e2e_s=0.01), [s / 10 for s in range(300)])) > MIN_S


# Whether two levels differ


def test_the_difference_is_welchs() -> None:
    rng = np.random.default_rng(1)
    before, after = rng.normal(1.0, 0.1, 20), rng.normal(1.1, 0.3, 12)
    a, b = (Interval(x.mean(), stats.sem(x), len(x) - 1) for x in (before, after))
    low, high = stats.ttest_ind(after, before, equal_var=False).confidence_interval(0.95)
    found = difference(a, b)
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high), rel=1e-4)


def test_levels_that_are_apart_by_more_than_their_intervals_differ() -> None:
    assert differ(Interval(1.0, 0.1, 19), Interval(1.5, 0.1, 19))


def test_levels_that_are_apart_by_less_than_the_interval_of_their_difference_do_not_differ() -> None:
    assert not differ(Interval(1.0, 0.1, 19), Interval(1.2, 0.1, 19))


def test_the_same_level_without_variation_does_not_differ_from_itself() -> None:
    assert not differ(Interval(1.0, 0.0, 19), Interval(1.0, 0.0, 19))


@pytest.mark.parametrize("freedom", [4, 5.5, 9, 19, 29, 58, 1000])
def test_students_t_is_that_of_scipy(freedom: float) -> None:
    assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=5e-4)


def test_a_process_that_measures_need_not_load_numpy_for_it() -> None:
    show = "import sys, shapebench.support.batch_means; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    assert not {"numpy", "pandas", "scipy"} & set(shown.stdout.split())
