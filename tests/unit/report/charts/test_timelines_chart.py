"""Levels over time, read back from what Vega draws."""

import pandas as pd
import pytest

from shapebench.report.charts.theme import MAX_LEVELS
from shapebench.report.charts.timelines import MAX_INTERVALS, plots
from tests.drawn_chart import items, texts
from tests.report_sample import level, sample, whole

TITLE = "a model on a shape"
LEVELS = sample([level(0), level(1)]).levels
NO_SERVER = pd.DataFrame(columns=["concurrency", "at_s"])


def timeline(*tokens_per_s: float, concurrency: int = 1) -> pd.DataFrame:
    at_s = [at + 0.5 for at in range(len(tokens_per_s))]
    return pd.DataFrame({"at_s": at_s, "busy_streams": 1.0, "tokens_per_s": tokens_per_s, "concurrency": concurrency})


def server(*waiting: float) -> pd.DataFrame:
    at_s = [float(at) for at in range(len(waiting))]
    return pd.DataFrame(
        {"at_s": at_s, "running_requests": 1.0, "waiting_requests": waiting, "kv_cache_usage": 0.25, "concurrency": 1}
    )


def test_each_level_has_a_plot_of_its_own() -> None:
    both = pd.concat([timeline(70.0), timeline(140.0, concurrency=2)])
    found = plots(both, NO_SERVER, LEVELS, TITLE)
    assert [(plot.name, plot.title) for plot in found] == [
        ("timeline-0001", "1 concurrent user, valid"),
        ("timeline-0002", "2 concurrent users, valid"),
    ]


def test_of_a_server_that_told_nothing_there_is_no_strip() -> None:
    (plot,) = plots(timeline(70.0, 80.0), NO_SERVER, LEVELS.head(1), TITLE)
    assert texts(plot.chart, "axis-title") == ["Requests", "Seconds after the first request", "Tokens/s"]
    assert plot.legend
    assert plot.legend.keys == ["busy streams", "tokens/s received"]


def test_what_the_server_told_stands_below_what_we_counted() -> None:
    (plot,) = plots(timeline(70.0, 80.0), server(0, 1, 0), LEVELS.head(1), TITLE)
    assert {"Requests", "Tokens/s", "KV cache usage (%)"} <= {*texts(plot.chart, "axis-title")}
    assert "waiting (server) up to 1.0" in plot.description
    assert "KV cache usage up to 25.0" in plot.description


def test_a_level_of_which_only_the_server_tells_is_drawn() -> None:
    nothing = pd.DataFrame(columns=["concurrency", "at_s", "busy_streams", "tokens_per_s"])
    (plot,) = plots(nothing, server(0, 1, 0), LEVELS.head(1), TITLE)
    assert plot.legend
    assert plot.legend.keys == ["running (server)", "waiting (server)", "KV cache usage"]


def test_a_long_level_is_thinned_and_keeps_the_most_that_waited() -> None:
    waiting = [0.0] * 999
    waiting[500] = 7
    (plot,) = plots(timeline(*[70.0] * 1000), server(*waiting), LEVELS.head(1), TITLE)
    assert "waiting (server) up to 7.0" in plot.description
    tokens = items(plot.chart, "line", chosen=["tokens/s received"])
    assert len(tokens) == MAX_INTERVALS


def test_what_is_chosen_in_the_legend_is_drawn_alone() -> None:
    (plot,) = plots(timeline(70.0, 80.0), server(0, 1), LEVELS.head(1), TITLE)
    assert len(items(plot.chart, "line", chosen=["busy streams"])) == 2


def test_what_can_be_pointed_at_is_on_the_page_alone() -> None:
    (plot,) = plots(timeline(70.0, 80.0), NO_SERVER, LEVELS.head(1), TITLE)
    assert len(items(plot.chart, "rect", on_page=True)) == 2 * 2
    assert items(plot.chart, "rect") == []


def test_of_very_many_levels_some_are_drawn() -> None:
    report = whole(sample([{**level(0), "concurrency": at} for at in range(1, 41)]))
    assert len(plots(report.detail.timeline, report.detail.server_timeline, report.levels, TITLE)) == MAX_LEVELS


@pytest.mark.parametrize("rows", [NO_SERVER, pd.DataFrame(columns=["concurrency", "at_s", "busy_streams"])])
def test_without_rows_there_is_no_plot(rows: pd.DataFrame) -> None:
    assert plots(rows, NO_SERVER, LEVELS, TITLE) == []
