"""The law's parameters come back, with intervals that hold them."""

import numpy as np
import pandas as pd
import pytest

from shapebench.analysis.scaling.levels import Levels, read_levels
from shapebench.analysis.scaling.usl import Estimate, fit, throughput

TO_512 = 2.0 ** np.arange(10)
LAWS = {
    "linear": (60.0, 0.0, 0.0, np.inf),
    "contention": (60.0, 0.1, 0.0, np.inf),
    "crosstalk": (60.0, 0.0, 0.001, np.inf),
    "both": (60.0, 0.05, 0.0005, np.inf),
    "a cap": (60.0, 0.0, 0.0, 64.0),
    "a cap after a bend": (60.0, 0.02, 0.0, 48.0),
}


def levels(law: str, noise: float = 0, seed: int = 0, concurrency: np.ndarray = TO_512) -> Levels:
    chance = np.random.default_rng(seed).standard_normal(len(concurrency))
    tokens = throughput(np.array(LAWS[law]), concurrency) * np.exp(noise * chance)
    return read_levels(pd.DataFrame({"concurrency": concurrency, "system_tokens_per_s": tokens}))


@pytest.mark.parametrize("law", ["linear", "contention", "crosstalk", "both"])
def test_exact_levels_give_exact_parameters(law: str) -> None:
    fitted = fit(levels(law), ended=law != "linear")
    assert fitted
    assert fitted.parameters == pytest.approx(np.array(LAWS[law]), rel=1e-6, abs=1e-9)
    assert fitted.error == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("law", ["a cap", "a cap after a bend"])
def test_a_cap_is_found_where_no_bend_explains_the_levels(law: str) -> None:
    fitted = fit(levels(law), ended=True)
    assert fitted
    assert fitted.cap
    assert fitted.cap.value == pytest.approx(LAWS[law][3], rel=0.03)
    assert fitted.error < 0.01


def test_where_throughput_still_grows_no_cap_is_looked_for() -> None:
    fitted = fit(levels("a cap"), ended=False)
    assert fitted
    assert fitted.cap is None


def test_a_law_without_a_cap_is_preferred_where_it_explains_the_levels() -> None:
    fitted = fit(levels("both", 0.02), ended=True)
    assert fitted
    assert fitted.cap is None


@pytest.mark.parametrize("law", ["linear", "contention", "both"])
def test_intervals_hold_the_true_parameters_nine_times_of_ten(law: str) -> None:
    fits = [fit(levels(law, 0.02, seed), ended=law != "linear") for seed in range(20)]
    for place, truth in enumerate(LAWS[law][:3]):
        estimates = [Estimate.of(one.parameters[place], one.draws[:, place]) for one in fits if one]
        assert sum(e.low - 1e-12 <= truth <= e.high + 1e-12 for e in estimates) >= 18


def test_more_noise_makes_wider_intervals() -> None:
    narrow, wide = (
        fit(Levels(of.concurrency, of.tokens_per_s, np.full(10, noise), 100, "given"), ended=True)
        for of, noise in ((levels("both"), 0.01), (levels("both"), 0.05))
    )
    assert narrow
    assert wide
    assert wide.sigma.high - wide.sigma.low > 3 * (narrow.sigma.high - narrow.sigma.low)


def test_two_levels_are_too_few_for_three_parameters() -> None:
    assert fit(levels("both", concurrency=np.array([1.0, 8.0])), ended=False) is None


def test_a_curve_that_only_falls_has_a_law() -> None:
    of = read_levels(pd.DataFrame({"concurrency": [64, 128, 256], "system_tokens_per_s": [2000, 1010, 505]}))
    fitted = fit(of, ended=True)
    assert fitted
    assert fitted.tokens_per_s(np.array([64.0, 128.0, 256.0])) == pytest.approx([2000, 1010, 505], rel=0.05)


def test_levels_that_grow_faster_than_their_number_are_not_described() -> None:
    of = read_levels(pd.DataFrame({"concurrency": [1, 2, 4, 8], "system_tokens_per_s": [10, 40, 160, 640]}))
    fitted = fit(of, ended=False)
    assert fitted
    assert not fitted.describes


def test_a_cap_holds_throughput_where_it_is() -> None:
    assert throughput(np.array([60, 0, 0, 20]), np.array([10.0, 20.0, 40.0])).tolist() == [600, 1200, 1200]
