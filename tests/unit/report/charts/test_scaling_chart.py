"""Throughput compared with linear scaling, read back from what Vega draws."""

from itertools import pairwise

import pandas as pd
import pytest

from shapebench.report.charts.fitted import Fit
from shapebench.report.charts.scaling import plots, sentences
from shapebench.report.charts.theme import PALETTES
from tests.drawn_chart import items, texts
from tests.report_sample import LEVELS, sample, scaling

TITLE = "a model on a shape"
VALID, FAINT, LIMIT, PAPER = (PALETTES["light"][name] for name in ("valid", "faint", "limit", "paper"))


@pytest.fixture
def rows() -> pd.DataFrame:
    return scaling(sample().levels)


@pytest.fixture
def saturated(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(is_knee=rows["concurrency"] == 16)


@pytest.fixture
def fit(rows: pd.DataFrame) -> Fit:
    tokens = rows["tokens_per_s"]
    curve = pd.DataFrame(
        {"concurrency": rows["concurrency"], "tokens_per_s": tokens, "low": tokens * 0.9, "high": tokens * 1.1}
    )
    return Fit(curve, 16, ("Throughput stops growing at about 16 concurrent users.", "The curve is a law."))


def test_there_is_a_plot_with_linear_axes_and_one_with_logarithmic_ones(rows: pd.DataFrame) -> None:
    assert [plot.name for plot in plots(rows, TITLE)] == ["scaling", "scaling-log"]


@pytest.mark.parametrize("at", [0, 1], ids=["linear", "log"])
def test_every_level_is_a_point(rows: pd.DataFrame, at: int) -> None:
    assert len(items(plots(rows, TITLE)[at].chart, "symbol")) == len(LEVELS)


@pytest.mark.parametrize("at", [0, 1], ids=["linear", "log"])
def test_the_ideal_is_a_straight_line(rows: pd.DataFrame, at: int) -> None:
    line = [p for p in items(plots(rows, TITLE)[at].chart, "line") if p["stroke"] == FAINT]
    slopes = [(b["y"] - a["y"]) / (b["x"] - a["x"]) for a, b in pairwise(line)]
    assert slopes == pytest.approx([slopes[0]] * (len(LEVELS) - 1))


def test_no_point_lies_above_the_ideal(rows: pd.DataFrame) -> None:
    chart = plots(rows, TITLE)[0].chart
    ideal = {p["x"]: p["y"] for p in items(chart, "line") if p["stroke"] == FAINT}
    assert all(point["y"] >= ideal[point["x"]] - 1e-6 for point in items(chart, "symbol"))


def test_where_growth_ends_there_is_a_line_that_says_so(saturated: pd.DataFrame) -> None:
    chart = plots(saturated, TITLE)[0].chart
    assert "saturates at 16" in texts(chart)
    (rule,) = (item for item in items(chart, "rule") if item["stroke"] == LIMIT)
    assert rule["x"] == pytest.approx(items(chart, "symbol")[4]["x"])


def test_where_growth_does_not_end_no_line_is_drawn(rows: pd.DataFrame) -> None:
    assert [item for item in items(plots(rows, TITLE)[0].chart, "rule") if item["stroke"] == LIMIT] == []


def test_a_fitted_curve_has_its_band_and_its_knee(saturated: pd.DataFrame, fit: Fit) -> None:
    chart = plots(saturated, TITLE, fit)[0].chart
    assert len(items(chart, "area")) == len(LEVELS)
    assert "saturates at 16" in texts(chart)


def test_levels_that_are_not_valid_are_hollow(rows: pd.DataFrame) -> None:
    drawn = plots(rows.assign(verdict=["invalid", *["valid"] * 5]), TITLE)[0].chart
    assert [point["fill"] == PAPER for point in items(drawn, "symbol")] == [True, *[False] * 5]


def test_levels_that_take_no_part_are_not_drawn(rows: pd.DataFrame) -> None:
    rows.loc[2, "tokens_per_s"] = None
    assert len(items(plots(rows, TITLE)[0].chart, "symbol")) == len(LEVELS) - 1


@pytest.mark.parametrize("levels", [0, 1])
def test_it_takes_two_levels_to_say_how_it_scales(rows: pd.DataFrame, levels: int) -> None:
    assert plots(rows.head(levels), TITLE) == []
    assert sentences(rows.head(levels)) == []


def test_the_description_says_what_was_reached_at_each_level(rows: pd.DataFrame) -> None:
    assert "100% at 1, 96% at 2" in plots(rows, TITLE)[0].description


def test_the_sentences_say_how_much_was_reached_and_where_growth_ends(saturated: pd.DataFrame) -> None:
    assert sentences(saturated) == [
        "Scaling efficiency is 60% with 32 concurrent users.",
        "Throughput saturates at about 16 concurrent users.",
    ]


def test_of_a_fitted_curve_the_sentences_say_where_growth_ends_and_what_it_is(
    saturated: pd.DataFrame, fit: Fit
) -> None:
    assert sentences(saturated, fit)[1:] == [*fit.sentences]
    assert "the curve is fitted" in plots(saturated, TITLE, fit)[0].reading
