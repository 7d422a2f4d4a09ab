"""Where throughput stops growing: three kinds of curves, clean and noisy, on all kinds of levels."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shapebench.analysis.scaling.growth import Growth, growth, with_curve_noise
from shapebench.analysis.scaling.levels import read_levels
from shapebench.analysis.scaling.output import sentences
from shapebench.analysis.scaling.saturation import Saturation, saturation
from tests.examples import examples

DOUBLINGS = (1, 2, 4, 8, 16, 32, 64, 128)
TO_512 = (*DOUBLINGS, 256, 512)
DECADES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
LLAMA_70B = (1, 8, 32, 64, 128, 256)
GRIDS = (DOUBLINGS, TO_512, DECADES, LLAMA_70B, (1, 10, 25, 50, 75, 100, 128, 150, 200), tuple(range(1, 65)))
Law = Callable[[float], float]


def found(levels: Sequence[float], tokens: Sequence[float], **columns: Sequence[float]) -> Saturation:
    return saturation(pd.DataFrame({"concurrency": levels, "system_tokens_per_s": tokens, **columns}))


def measured(law: Law, levels: Sequence[int], noise: float = 0, seed: int = 0) -> Saturation:
    return saturation(noisy(law, levels, noise, seed))


def grown(law: Law, levels: Sequence[int], noise: float, seed: int) -> Growth:
    """Without the fitted law, which takes longer."""
    return growth(with_curve_noise(read_levels(noisy(law, levels, noise, seed))))


def noisy(law: Law, levels: Sequence[int], noise: float, seed: int) -> pd.DataFrame:
    chance = np.random.default_rng(seed).standard_normal(len(levels))
    tokens = [law(n) * np.exp(noise * z) for n, z in zip(levels, chance, strict=True)]
    return pd.DataFrame({"concurrency": levels, "system_tokens_per_s": tokens})


def linear(n: float) -> float:
    return 60 * n


def usl(sigma: float, kappa: float) -> Law:
    return lambda n: 60 * n / (1 + sigma * (n - 1) + kappa * n * (n - 1))


def capped(places: float) -> Law:
    return lambda n: 60 * min(n, places)


def bending(half: float) -> Law:
    return lambda n: 60 * n / (1 + n / half)


def cliff(n: float) -> float:
    return 60 * n / (1 + n / 128) if n <= 64 else 1500


def said(of: Saturation) -> str:
    return " ".join(sentences(of))


# Where a person puts the end of growth, None: nowhere; several where it lies between two levels.
NAMED = {
    "Llama 3.3 70B, Oracle's": (LLAMA_70B, (58.02, 425.30, 1296.53, 1914.20, 2314.73, 1976.65), {128}, True),
    "the article's kind, growing": ((1, 2, 4, 8, 16, 32), (58, 114, 220, 410, 760, 1330), {None}, False),
    "linear": (DOUBLINGS, [60 * n for n in DOUBLINGS], {None}, False),
    "hard cap at a level": (DOUBLINGS, [60 * min(n, 32) for n in DOUBLINGS], {32}, False),
    "hard cap between levels": (DOUBLINGS, [60 * min(n, 20) for n in DOUBLINGS], {16, 32}, False),
    "one half at 4": (DOUBLINGS, [60 * n / (1 + n / 4) for n in DOUBLINGS], {16, 32}, False),
    "USL with its peak at 44": (DOUBLINGS, [usl(0.05, 0.0005)(n) for n in DOUBLINGS], {32, 64}, True),
    "cliff, then flat": (TO_512, [cliff(n) for n in TO_512], {64}, True),
    "slow to begin with": ((1, 2, 4, 8, 16, 32, 64), (40, 50, 100, 200, 400, 410, 405), {16, 32}, False),
    "falling from the first": ((1, 2, 4), (60, 50, 30), {1}, True),
    "a plateau that creeps": ((1, 8, 64, 128, 256, 512), (60, 450, 2400, 2460, 2540, 2600), {64}, False),
    "a dip on the way": ((1, 2, 4, 8, 16, 32, 64, 128), (60, 118, 230, 380, 900, 1500, 1560, 1540), {32}, False),
    "two levels, growing": ((1, 32), (60, 1300), {None}, False),
    "two levels, flat": ((8, 32), (600, 605), {8}, False),
    "three levels": ((1, 16, 32), (60, 700, 710), {16}, False),
    "four, twice as many are slower": ((8, 16, 32, 64), (400, 700, 900, 500), {32}, True),
    "short steps at the end": ((32, 64, 96, 112, 128), (1900, 3800, 4000, 3990, 4010), {64}, False),
}


@pytest.mark.parametrize("name", NAMED)
def test_growth_ends_where_a_person_says_so(name: str) -> None:
    levels, tokens, knees, _ = NAMED[name]
    assert found(levels, tokens).knee in knees


@pytest.mark.parametrize("name", NAMED)
def test_a_curve_is_saturated_that_has_a_knee(name: str) -> None:
    levels, tokens, knees, _ = NAMED[name]
    assert found(levels, tokens).saturated is (None not in knees)


@pytest.mark.parametrize("name", NAMED)
def test_a_collapse_is_told_from_a_plateau(name: str) -> None:
    levels, tokens, _, collapses = NAMED[name]
    assert found(levels, tokens).collapses is collapses


@pytest.mark.parametrize("name", [name for name, (_, _, knees, _) in NAMED.items() if None not in knees])
def test_the_knee_lies_between_the_levels_of_its_interval(name: str) -> None:
    levels, tokens, _, _ = NAMED[name]
    of = found(levels, tokens)
    assert of.knee
    assert of.knee_interval
    low, high = of.knee_interval
    assert {low, high} <= set(levels)
    assert low <= of.knee <= high


def test_oracles_curve_ends_between_64_and_256() -> None:
    levels, tokens, _, _ = NAMED["Llama 3.3 70B, Oracle's"]
    assert found(levels, tokens).knee_interval == (64, 256)


def test_where_throughput_grows_there_is_no_interval() -> None:
    assert measured(linear, DOUBLINGS).knee_interval is None


@pytest.mark.parametrize("last", [600, 800])
def test_a_fall_at_the_last_of_close_levels_ends_growth_at_the_peak(last: float) -> None:
    of = found([*range(10, 120, 10)], [*(10 * n for n in range(10, 110, 10)), last])
    assert (of.saturated, of.knee, of.collapses) == (True, 100, True)


@settings(max_examples=examples(40), deadline=None)
@given(st.sampled_from(GRIDS), st.integers(0, 10_000))
@example(GRIDS[-1], 2187)  # the last three of 64 levels fall by chance
def test_a_linear_curve_with_2_percent_noise_is_never_saturated(levels: tuple[int, ...], seed: int) -> None:
    of = grown(linear, levels, 0.02, seed)
    assert (of.knee, of.collapses) == (None, False)


@settings(max_examples=examples(40), deadline=None)
@given(st.sampled_from(GRIDS[:-1]), st.floats(0.1, 1), st.floats(0, 0.02), st.integers(0, 10_000))
def test_a_hard_cap_is_found_within_one_level(levels: tuple[int, ...], at: float, noise: float, seed: int) -> None:
    cap = at * max(n for n in levels if n <= levels[-1] / 2)  # so that the last doubling is flat
    of = grown(capped(cap), levels, noise, seed)
    below, above = max(n for n in levels if n <= cap), min(n for n in levels if n >= cap)
    near = levels[max(levels.index(below) - 1, 0) : levels.index(above) + 2]
    assert of.knee in near


@settings(max_examples=examples(40), deadline=None)
@given(st.sampled_from(GRIDS), st.floats(0.1, 0.3), st.floats(0, 0.02), st.integers(0, 10_000))
def test_a_collapse_is_found(levels: tuple[int, ...], at: float, noise: float, seed: int) -> None:
    peak = levels[-1] * at
    of = grown(usl(0.02, 0.98 / peak**2), levels, noise, seed)
    assert (of.knee is not None, of.collapses) == (True, True)


@settings(max_examples=examples(20), deadline=None)
@given(st.sampled_from(GRIDS), st.floats(0.01, 0.1), st.floats(1e-3, 1e6), st.integers(0, 100))
def test_the_unit_of_throughput_has_no_say(levels: tuple[int, ...], half: float, unit: float, seed: int) -> None:
    law = bending(half * levels[-1])
    of, scaled = grown(law, levels, 0.02, seed), grown(lambda n: unit * law(n), levels, 0.02, seed)
    assert (scaled.knee, scaled.collapses) == (of.knee, of.collapses)


@settings(max_examples=examples(10), deadline=None)
@given(st.permutations(range(len(DOUBLINGS))))
def test_the_order_of_rows_has_no_say(order: list[int]) -> None:
    curve = noisy(bending(4), DOUBLINGS, 0.02, seed=1)
    of, shuffled = saturation(curve), saturation(curve.iloc[order])
    assert (shuffled.growth, shuffled.headroom) == (of.growth, of.headroom)


def test_a_row_that_is_there_twice_counts_once() -> None:
    twice = found((1, 1, 8, 32), (60, 60, 450, 1500))
    assert twice.levels.source == "assumed"
    assert twice.levels.noise.tolist() == found((1, 8, 32), (60, 450, 1500)).levels.noise.tolist()


def test_levels_that_are_repeated_say_how_noisy_they_are() -> None:
    of = found((8, 8, 16, 16, 32, 32), (400, 440, 800, 760, 1500, 1600))
    assert of.levels.source == "repeated"
    assert of.levels.noise.mean() == pytest.approx(0.05 / np.sqrt(2), rel=0.1)


def test_noise_that_is_given_counts() -> None:
    of = found((1, 8, 32), (60, 450, 1500), system_tokens_per_s_stddev=(3, 22.5, 75))
    assert of.levels.source == "given"
    assert of.levels.noise == pytest.approx([0.05] * 3)


def test_the_precision_of_level_summary_is_half_a_95_percent_interval() -> None:
    of = found((1, 8, 32), (60, 450, 1500), throughput_precision=(0.1, 0.1, float("nan")))
    assert of.levels.noise == pytest.approx([0.051, 0.051, 0.02], abs=1e-3)


def test_a_fall_within_the_noise_is_no_collapse() -> None:
    levels, tokens = (8, 16, 32, 64), (400.0, 700.0, 900.0, 740.0)
    assert found(levels, tokens).collapses
    assert not found(levels, tokens, system_tokens_per_s_stddev=[0.1 * each for each in tokens]).collapses


def test_a_curve_that_staggers_is_taken_to_be_noisier_than_one_that_does_not() -> None:
    smooth, staggering = (measured(bending(20), range(1, 30), noise).levels.noise.mean() for noise in (0.005, 0.1))
    assert smooth < 0.02 < staggering


def test_rows_without_throughput_take_no_part() -> None:
    assert len(found((1, 8, 32), (60, float("nan"), 1500)).levels) == 2


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_levels_say_nothing_of_growth(count: int) -> None:
    of = found((4,) * count, (100.0,) * count)
    assert (of.saturated, of.knee, of.collapses, of.law, of.headroom) == (None,) * 5
    assert "Growth is unknown" in said(of)


def test_the_peak_is_the_level_with_the_most_as_it_was_measured() -> None:
    of = found(LLAMA_70B, NAMED["Llama 3.3 70B, Oracle's"][1])
    assert of.peak
    assert (of.peak.concurrency, of.peak.system_tokens_per_s) == (128, 2314.73)


@pytest.mark.parametrize("law", [linear, usl(0.03, 0.0002), bending(30)])
def test_the_headroom_holds_what_twice_the_concurrency_really_brings(law: Law) -> None:
    headroom = measured(law, (1, 2, 4, 8, 16, 32), 0.01, seed=3).headroom
    assert headroom
    assert headroom.up_to == 64
    assert headroom.share.low <= law(64) / law(32) - 1 <= headroom.share.high + 1e-9


@pytest.mark.parametrize("levels", [(1, 2, 4, 8, 16, 32), (1, 100, 400)])
def test_headroom_is_never_sought_beyond_twice_the_greatest_level(levels: tuple[int, ...]) -> None:
    headroom = measured(linear, levels).headroom
    assert headroom
    assert headroom.concurrency == headroom.up_to == 2 * levels[-1]
    assert headroom.share.value == pytest.approx(1)


@pytest.mark.parametrize("name", ["Llama 3.3 70B, Oracle's", "hard cap at a level"])
def test_there_is_no_headroom_beyond_a_collapse_or_a_hard_cap(name: str) -> None:
    headroom = found(*NAMED[name][:2]).headroom
    assert headroom
    assert headroom.share.high == pytest.approx(0, abs=0.01)


def test_growth_that_has_not_ended_may_go_on_whatever_the_law_expects() -> None:
    headroom = found([1, 8, 64], [40, 300, 600]).headroom
    assert headroom
    assert (headroom.share.low, headroom.share.value) == (0, 0)
    assert headroom.share.high == pytest.approx(2 ** (1 / 3) - 1)


def test_where_no_law_describes_the_levels_no_headroom_is_stated() -> None:
    of = found(*NAMED["cliff, then flat"][:2])
    assert of.headroom is None
    assert "does not fit these levels" in said(of)


def test_the_fitted_curve_lies_within_its_band() -> None:
    curve = found(*NAMED["Llama 3.3 70B, Oracle's"][:2]).curve([1, 50, 256])
    assert curve["concurrency"].tolist() == [1, 50, 256]
    assert (curve["low"] <= curve["tokens_per_s"]).all()
    assert (curve["tokens_per_s"] <= curve["high"]).all()


def test_without_a_law_there_is_no_curve() -> None:
    assert found((1, 2), (60, 110)).curve([1, 2]).empty


def test_the_knee_is_said_with_its_neighbours() -> None:
    text = said(found(*NAMED["Llama 3.3 70B, Oracle's"][:2]))
    assert "Saturated: growth ends at 128 concurrent users (95% interval 64 to 256)" in text
    assert "Maximum: 2,315 tokens/s at concurrency 128. Then throughput collapses: at 256 it is 15% lower." in text


def test_growth_is_said_with_its_size() -> None:
    assert "throughput still grows by 100% for twice the users" in said(measured(linear, DOUBLINGS))


def test_an_answer_that_noise_could_turn_is_said_to_be_unsure() -> None:
    assert "This is uncertain" in said(found((8, 16, 32), (500, 880, 968 + 1)))
