"""The fitted law, as it is drawn."""

import numpy as np
import pandas as pd
import pytest

from shapebench.report.charts.fitted import Fit, fitted
from tests.report_sample import LEVELS, sample, scaling

SUMMARY = sample().levels


def curve(*tokens_per_s: float) -> pd.DataFrame:
    levels = SUMMARY.head(len(tokens_per_s)).assign(steady_tokens_per_s=tokens_per_s)
    return scaling(levels)


def law(users: float, contention: float, crosstalk: float) -> float:
    return 73 * users / (1 + contention * (users - 1) + crosstalk * users * (users - 1))


def of(rows: pd.DataFrame) -> Fit:
    found = fitted(rows, SUMMARY)
    assert found
    return found


def test_a_curve_that_follows_the_law_is_fitted_through_its_levels() -> None:
    found = of(curve(*(law(n, 0.05, 0.001) for n in LEVELS)))
    at = np.interp(LEVELS, found.curve["concurrency"], found.curve["tokens_per_s"])
    assert at == pytest.approx([law(n, 0.05, 0.001) for n in LEVELS], rel=0.01)
    assert "contention 0.05 and crosstalk 0.001" in found.sentences[1]


def test_the_band_lies_around_the_curve() -> None:
    drawn = of(curve(*(law(n, 0.05, 0.001) for n in LEVELS))).curve
    assert (drawn["low"] <= drawn["tokens_per_s"] + 1).all()
    assert (drawn["high"] >= drawn["tokens_per_s"] - 1).all()


def test_throughput_that_grows_on_has_no_end_of_growth() -> None:
    found = of(curve(*(law(n, 0.02, 0) for n in LEVELS)))
    assert found.knee is None
    assert "still grows" in found.sentences[0]


def test_throughput_that_stays_the_same_ends_its_growth() -> None:
    found = of(curve(73, 146, 292, 292, 292, 292))
    assert found.knee in (4, 8)
    assert "saturates at about" in found.sentences[0]


def test_a_throughput_that_is_not_sure_bends_the_curve_less() -> None:
    rows = curve(*(law(n, 0.05, 0) * (1.05 if n == 32 else 1) for n in LEVELS))
    ends = []
    for of_last in (0.01, 0.2):
        found = fitted(rows, SUMMARY.assign(throughput_precision=[*[0.01] * 5, of_last]))
        assert found
        ends.append(float(found.curve["tokens_per_s"].iloc[-1]))
    assert ends[1] < ends[0]


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_it_takes_three_levels(levels: int) -> None:
    assert fitted(curve(*[73.0, 140.0][:levels]) if levels else curve(73.0).head(0), SUMMARY) is None


def test_what_the_law_does_not_describe_is_not_drawn() -> None:
    assert fitted(curve(73, 500, 80, 600, 90, 700), SUMMARY) is None
