"""Errors by kind, read back from what Vega draws."""

import pandas as pd
import pytest

from shapebench.report.charts.errors import OTHERS, plots
from shapebench.report.charts.theme import PALETTES, SERIES, Plot
from tests.drawn_chart import items, texts
from tests.report_sample import failures, level, sample

TITLE = "a model on a shape"
PAPER = PALETTES["light"]["paper"]
LEVELS = sample([{**level(at), "completed": 90, "failed": 10} for at in range(3)]).levels


def plot(*rows: tuple[int, str, int], levels: pd.DataFrame = LEVELS) -> Plot:
    (found,) = plots(failures(*rows), levels, TITLE)
    return found


def test_without_errors_there_is_no_plot() -> None:
    assert plots(failures(), LEVELS, TITLE) == []


def test_each_kind_at_each_level_is_a_bar_as_long_as_its_share() -> None:
    bars = items(plot((1, "timeout", 5), (2, "timeout", 10)).chart, "rect")
    assert [bar["width"] / 460 for bar in bars] == pytest.approx([0.05 / 0.11, 0.1 / 0.11])


def test_kinds_of_one_level_stand_beside_each_other_the_most_frequent_first() -> None:
    bars = items(plot((1, "timeout", 5), (1, "http 503", 4)).chart, "rect")
    first, second = sorted(bars, key=lambda bar: float(bar["x"]))
    assert first["x"] + first["width"] == pytest.approx(second["x"])
    assert first["width"] > second["width"]
    assert first["fill"] != second["fill"]


def test_levels_without_errors_keep_their_place() -> None:
    assert texts(plot((2, "timeout", 5)).chart, "axis-label")[-3:] == ["1", "2", "4"]


def test_bars_of_levels_that_are_not_valid_are_hollow() -> None:
    levels = LEVELS.assign(verdict=["valid", "invalid", "valid"])
    bars = items(plot((1, "timeout", 5), (2, "timeout", 5), levels=levels).chart, "rect")
    assert [bar["fill"] == PAPER for bar in bars] == [False, True]


def test_more_kinds_than_there_are_colours_are_put_together() -> None:
    legend = plot(*((1, f"kind {at}", 10 + at) for at in range(10))).legend
    assert legend
    assert len(legend.entries) == SERIES
    assert OTHERS in legend.keys


def test_a_kind_that_another_tool_gave_at_length_is_cut() -> None:
    legend = plot((1, "x" * 10_000, 1)).legend
    assert legend
    assert legend.keys == ["x" * 40]


def test_what_is_chosen_in_the_legend_is_drawn_alone() -> None:
    chart = plot((1, "timeout", 5), (1, "http 503", 4)).chart
    assert len(items(chart, "rect", chosen=["timeout"])) == 1


def test_the_description_says_how_many_failed() -> None:
    assert "5.0% at 1, 10.0% at 2" in plot((1, "timeout", 5), (2, "timeout", 6), (2, "http 503", 4)).description
