"""Lengths that were really drawn never exceed their bounds; others do, by as much as is worked out by hand."""

import math
import random
from collections.abc import Iterable
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapebench.analysis.length_distribution import Fit, fit
from shapebench.runs.prompt_sizing import MIN_WORDS
from shapebench.spec.lengths import Lengths

Z = 4.891638  # the normal distribution's quantile for one in a million, two-sided
MAX_DISTANCE_OF_100 = math.sqrt(math.log(2e6) / 200)  # 0.2693
ASKED = Lengths(100, 20)
EVEN = Lengths(10.5, 0.1)  # 10 or 11, each as likely: a mean of 10.5, a standard deviation of 0.5
SEEDS = 200
COUNTS = (1, 2, 10, 100, 1000)


def drawn(asked: Lengths, count: int, seed: int, least: int = 1) -> list[int]:
    """As a level draws them: prompts are never so short that they could repeat."""
    rng = random.Random(seed)
    return [max(least, asked.draw(rng)) for _ in range(count)]


def excesses(found: Fit) -> tuple[float, float, float]:
    return found.mean_excess, found.spread_excess, found.shape_excess


def worst(asked: Lengths, slack_tokens: int = 0, least: int = 1, counts: Iterable[int] = COUNTS) -> float:
    """Of all figures, seeds and counts."""
    return max(
        max(excesses(fit(drawn(asked, count, seed, least), asked, slack_tokens, least)))
        for count in counts
        for seed in range(SEEDS)
    )


def quantiles(asked: Lengths, mean: float, stddev: float, count: int = 1000) -> list[int]:
    """Lengths of another normal distribution, as evenly as they can be."""
    other = NormalDist(mean, stddev)
    return [max(1, round(other.inv_cdf((n + 0.5) / count))) for n in range(count)]


@pytest.mark.parametrize(
    ("mean", "stddev"),
    [(200, 40), (100, 10), (20, 2), (1000, 0), (1, 0), (10.5, 0), (0.3, 0), (10.5, 0.1), (10, 0.5), (100.4, 0.01)],
)
def test_lengths_that_were_drawn_as_asked_stay_within_their_bounds(mean: float, stddev: float) -> None:
    assert worst(Lengths(mean, stddev)) <= 1


@pytest.mark.nightly
@pytest.mark.parametrize(("mean", "stddev"), [(1, 1), (3, 10), (5, 20), (1, 10), (20, 20), (1, 1000)])
def test_so_do_those_of_which_many_are_cut_at_one(mean: float, stddev: float) -> None:
    assert Lengths(mean, stddev).min_tokens == 1
    assert worst(Lengths(mean, stddev)) <= 1


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("mean", "stddev", "least"),
    [(200, 40, 52), (200, 100, 120), (50, 20, 40), (50, 20, 52), (50, 10, 95), (50, 0, 52), (8, 0, MIN_WORDS)],
)
def test_so_do_prompts_of_which_many_are_raised_to_the_fewest_words(mean: float, stddev: float, least: int) -> None:
    assert worst(Lengths(mean, stddev), least=least) <= 1


@pytest.mark.parametrize(("mean", "stddev", "least"), [(50, 20, 80), (50, 10, 80), (20, 10, 52)])
def test_so_do_many_prompts_of_which_nearly_all_are_raised_with_the_slack_that_prompts_have(
    mean: float, stddev: float, least: int
) -> None:
    assert worst(Lengths(mean, stddev), slack_tokens=2, least=least, counts=(100, 1000)) <= 1


@given(st.floats(5, 500), st.floats(0.05, 0.4), st.integers(30, 500), st.integers(0, 2**32))
def test_so_do_those_of_any_usual_distribution(mean: float, share: float, count: int, seed: int) -> None:
    asked = Lengths(mean, 0.5 + mean * share)
    assert max(excesses(fit(drawn(asked, count, seed), asked, 0))) <= 1


def test_the_mean_and_the_spread_are_those_seen() -> None:
    found = fit([90, 110, 90, 110], ASKED, 0)
    assert (found.mean, found.spread) == (100, 10)


def test_the_order_of_lengths_does_not_matter() -> None:
    lengths = drawn(ASKED, 100, seed=1)
    assert fit(lengths, ASKED, 0) == fit(sorted(lengths), ASKED, 0) == fit(lengths[::-1], ASKED, 0)


def test_a_mean_is_held_against_its_standard_error() -> None:
    """All 11: off by 0.5, of 4.89 * 0.5 / 10."""
    assert fit([11] * 100, EVEN, 0).mean_excess == pytest.approx(10 / Z, rel=1e-6)


def test_a_shape_is_held_against_the_bound_of_dvoretzky_kiefer_and_wolfowitz() -> None:
    """All 11: half of them were to be 10."""
    assert fit([11] * 100, EVEN, 0).shape_excess == pytest.approx(0.5 / MAX_DISTANCE_OF_100)


def test_two_lengths_each_as_likely_have_a_spread_that_only_their_mean_moves() -> None:
    """All 11: no spread at all, where 0.5 * 4.89^2 / 200 less than 0.5 is what chance takes off."""
    assert fit([11] * 100, EVEN, 0).spread_excess == pytest.approx(200 / Z**2, rel=1e-6)
    assert fit([10, 11] * 50, EVEN, 0).spread_excess == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("off", [-10, 10])
def test_another_mean_is_noticed_and_the_spread_is_not_blamed(off: float) -> None:
    found = fit(quantiles(ASKED, 100 + off, 20), ASKED, 0)
    assert found.mean_excess > 1
    assert found.spread_excess < 1


@pytest.mark.parametrize("stddev", [12, 30])
def test_another_spread_is_noticed_and_the_mean_is_not_blamed(stddev: float) -> None:
    found = fit(quantiles(ASKED, 100, stddev), ASKED, 0)
    assert found.spread_excess > 1
    assert found.mean_excess < 1


def test_another_shape_of_the_same_mean_and_spread_is_noticed_and_they_are_not_blamed() -> None:
    mean, spread, shape = excesses(fit([80, 120] * 500, ASKED, 0))
    assert max(mean, spread) < 1 < shape


def test_the_same_difference_says_more_of_more_lengths() -> None:
    few, many = (fit(quantiles(ASKED, 105, 20, count), ASKED, 0) for count in (100, 10_000))
    assert few.mean_excess < 1 < many.mean_excess
    assert few.shape_excess < 1 < many.shape_excess


def test_a_fixed_length_that_is_met_has_no_excess() -> None:
    assert excesses(fit([100] * 50, Lengths(100, 0), 0)) == (0, 0, 0)


def test_a_fixed_length_that_is_not_met_is_infinitely_off() -> None:
    mean, spread, shape = excesses(fit([101] * 50, Lengths(100, 0), 0))
    assert (mean, spread) == (math.inf, 0)
    assert shape > 1


def test_fixed_lengths_that_vary_have_an_infinite_spread() -> None:
    mean, spread, shape = excesses(fit([99, 101] * 50, Lengths(100, 0), 0))
    assert (mean, spread) == (0, math.inf)
    assert shape > 1


@pytest.mark.parametrize(("off", "mean_excess"), [(0, 0), (1, 0.5), (2, 1), (-2, 1), (3, 1.5), (-3, 1.5)])
def test_a_fixed_length_may_be_as_far_off_as_the_slack(off: int, mean_excess: float) -> None:
    found = fit([100 + off] * 50, Lengths(100, 0), slack_tokens=2)
    assert found.mean_excess == mean_excess
    assert (found.shape_excess > 1) == (mean_excess > 1)


@pytest.mark.parametrize("lengths", [[101, 102] * 50, [98, 99] * 50, [98, 102] * 50])
def test_fixed_lengths_may_vary_within_the_slack(lengths: list[int]) -> None:
    found = fit(lengths, Lengths(100, 0), slack_tokens=2)
    assert max(found.mean_excess, found.spread_excess) <= 1
    assert found.shape_excess == 0


@pytest.mark.parametrize("off", [-30, 30])
def test_the_shape_of_lengths_is_held_against_the_slack_on_both_sides_alike(off: int) -> None:
    """All beyond 4 standard deviations and the slack: no share of them where all were to be, or all where none was."""
    assert fit([100 + off] * 100, Lengths(100, 5), 2).shape_excess == pytest.approx(1 / MAX_DISTANCE_OF_100, rel=1e-4)


@given(st.lists(st.integers(-2, 2), min_size=100, max_size=100), st.integers(0, 1000))
def test_lengths_that_are_each_off_by_no_more_than_the_slack_stay_within_their_bounds(
    off: list[int], seed: int
) -> None:
    lengths = [length + by for length, by in zip(drawn(ASKED, 100, seed), off, strict=True)]
    assert max(excesses(fit(lengths, ASKED, slack_tokens=2))) <= 1


def test_prompts_that_were_raised_to_the_fewest_words_are_blamed_where_nothing_raises_them() -> None:
    lengths = drawn(Lengths(50, 20), 1000, seed=1, least=52)
    assert max(excesses(fit(lengths, Lengths(50, 20), 0, min_tokens=52))) <= 1
    assert min(excesses(fit(lengths, Lengths(50, 20), 0))) > 1
