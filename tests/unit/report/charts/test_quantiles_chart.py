"""Percentiles by level, read back from what Vega draws."""

import pandas as pd
import pytest

from shapebench.report.charts.quantiles import GAPS, plots, ttft
from shapebench.report.charts.theme import PALETTES, Plot
from tests.drawn_chart import items, texts
from tests.report_sample import LEVELS, level, sample

TITLE = "a model on a shape"
TTFT = ttft(0.5)
PAPER, LIMIT = PALETTES["light"]["paper"], PALETTES["light"]["limit"]
COLUMNS = ["concurrency", "metric", "stat", "low_s", "high_s"]
NONE = pd.DataFrame(columns=COLUMNS)
P95_OF_32 = pd.DataFrame([(32, "ttft_s", "p95", 0.1, 0.2), (32, "e2e_s", "p95", 1.0, 2.0)], columns=COLUMNS)


def linear(levels: pd.DataFrame, intervals: pd.DataFrame = NONE) -> Plot:
    return plots(levels, intervals, TTFT, TITLE)[0]


def test_there_is_a_plot_with_a_linear_axis_and_one_with_a_logarithmic_one() -> None:
    names = [plot.name for latency in (TTFT, GAPS) for plot in plots(sample().levels, NONE, latency, TITLE)]
    assert names[:2] == ["ttft-percentiles", "ttft-percentiles-log"]
    assert names[2:] == ["inter-token-percentiles", "inter-token-percentiles-log"]


@pytest.mark.parametrize("at", [0, 1], ids=["linear", "log"])
def test_every_percentile_of_every_level_is_a_point(at: int) -> None:
    chart = plots(sample().levels, NONE, TTFT, TITLE)[at].chart
    assert len(items(chart, "symbol")) == 4 * len(LEVELS)


def test_a_percentile_that_is_withheld_is_not_drawn() -> None:
    levels = sample([{**level(0), "ttft_s_p95": None, "ttft_s_p99": None}, level(1)]).levels
    assert len(items(linear(levels).chart, "symbol")) == 2 + 4


def test_no_two_points_of_a_level_stand_one_above_the_other() -> None:
    x = [round(point["x"], 3) for point in items(linear(sample().levels).chart, "symbol")]
    assert len({*x}) == len(x)


def test_an_interval_is_a_whisker_from_one_end_to_the_other() -> None:
    chart = linear(sample().levels, P95_OF_32).chart
    (whisker,) = (item for item in items(chart, "rule") if item["stroke"] != LIMIT)
    (limit,) = (item for item in items(chart, "rule") if item["stroke"] == LIMIT)
    bottom = 300
    lengths = sorted((bottom - whisker[end]) / (bottom - limit["y"]) * 500 for end in ("y", "y2"))
    assert lengths == pytest.approx([100, 200])


def test_an_interval_of_a_percentile_that_is_withheld_is_not_drawn() -> None:
    levels = sample([{**level(5), "ttft_s_p95": None}]).levels
    assert [item for item in items(linear(levels, P95_OF_32).chart, "rule") if item["stroke"] != LIMIT] == []


def test_points_of_levels_that_are_not_valid_are_hollow() -> None:
    levels = sample([level(0), {**level(1), "verdict": "suspect"}, {**level(2), "verdict": "invalid"}]).levels
    fills = [point["fill"] == PAPER for point in items(linear(levels).chart, "symbol")]
    assert fills == [*[False] * 4, *[True] * 8]


def test_the_limit_is_drawn_for_ttft_alone() -> None:
    assert "TTFT p95 ≤ 500 ms" in texts(linear(sample().levels).chart)
    gaps = plots(sample().levels, NONE, GAPS, TITLE)[0].chart
    assert not any("≤" in text for text in texts(gaps))


def test_what_is_chosen_in_the_legend_is_drawn_alone() -> None:
    assert len(items(linear(sample().levels).chart, "symbol", chosen=["p50", "p99"])) == 2 * len(LEVELS)


def test_the_reading_says_whether_there_are_intervals() -> None:
    assert linear(sample().levels, P95_OF_32).reading == "whiskers are 95% intervals"
    assert linear(sample().levels).reading == "no intervals, since single requests are not stored"


def test_without_any_percentile_there_is_no_plot() -> None:
    assert plots(sample([]).levels, NONE, TTFT, TITLE) == []


def test_the_description_says_the_highest_percentile_of_each_level() -> None:
    assert "64 (p99) at 1" in linear(sample().levels).description
