"""The distributions of latencies, read back from what Vega draws."""

import numpy as np
import pandas as pd
import pytest

from shapebench.report.charts.distributions import POINTS, plots
from shapebench.report.charts.theme import MAX_LEVELS, PALETTES
from tests.drawn_chart import items, texts
from tests.report_sample import level, sample, whole

TITLE = "a model on a shape"
PAPER = PALETTES["light"]["paper"]
LEVELS = sample([level(0), level(1)]).levels


def requests(*ttft_s: float, concurrency: int = 1) -> pd.DataFrame:
    return pd.DataFrame({"ttft_s": ttft_s, "e2e_s": 1.0, "tpot_s": np.nan, "concurrency": concurrency})


def test_each_latency_that_was_measured_has_a_plot() -> None:
    assert [plot.name for plot in plots(requests(0.1), LEVELS, 0.5, TITLE)] == ["ttft-distribution", "e2e-distribution"]


def test_each_level_is_a_line_from_none_of_the_requests_to_all_of_them() -> None:
    both = pd.concat([requests(0.1, 0.2), requests(0.3, concurrency=2)])
    line = items(plots(both, LEVELS, 0.5, TITLE)[0].chart, "line")
    assert [point["y"] for point in line] == pytest.approx([300, 150, 0, 300, 0])


def test_a_line_of_many_requests_is_thinned_and_keeps_its_ends() -> None:
    line = items(plots(requests(*np.linspace(0.1, 0.2, 10_000)), LEVELS, 0.5, TITLE)[0].chart, "line")
    assert len(line) == POINTS + 1
    assert (line[0]["y"], line[-1]["y"]) == (300, 0)


def test_the_median_of_a_level_is_a_point_that_is_hollow_where_it_is_not_valid() -> None:
    levels = LEVELS.assign(verdict=["valid", "invalid"])
    both = pd.concat([requests(0.1, 0.2, 0.3), requests(0.3, concurrency=2)])
    points = items(plots(both, levels, 0.5, TITLE)[0].chart, "symbol")
    assert [point["fill"] == PAPER for point in points] == [False, True]
    assert [point["y"] for point in points] == [150, 150]


def test_what_can_be_pointed_at_is_on_the_page_alone() -> None:
    chart = plots(requests(0.1, 0.2, 0.3), LEVELS, 0.5, TITLE)[0].chart
    assert len(items(chart, "symbol", on_page=True)) == 1 + 7
    assert len(items(chart, "symbol")) == 1


def test_the_limit_of_ttft_is_drawn() -> None:
    ttft, e2e = plots(requests(0.1), LEVELS, 0.5, TITLE)
    assert "TTFT p95 ≤ 500 ms" in texts(ttft.chart)
    assert not any("at most" in text for text in texts(e2e.chart))


def test_what_is_chosen_in_the_legend_is_drawn_alone() -> None:
    both = pd.concat([requests(0.1, 0.2), requests(0.3, concurrency=2)])
    assert len(items(plots(both, LEVELS, 0.5, TITLE)[0].chart, "symbol", chosen=["2"])) == 1


def test_of_very_many_levels_those_that_can_be_told_apart_are_drawn() -> None:
    rows = [{**level(0), "concurrency": at} for at in range(1, 41)]
    report = whole(sample(rows))
    legend = plots(report.detail.requests, report.levels, 0.5, TITLE)[0].legend
    assert legend
    assert (len(legend.entries), legend.keys[0], legend.keys[-1]) == (MAX_LEVELS, "1", "40")


def test_without_requests_there_is_no_plot() -> None:
    assert plots(requests(), LEVELS, 0.5, TITLE) == []


def test_times_of_zero_have_no_place_on_a_logarithmic_axis() -> None:
    assert "100 ms at 1." in plots(requests(0.0, 0.1), LEVELS, 0.5, TITLE)[0].description
