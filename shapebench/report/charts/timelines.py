"""Timelines of a level: client measurements and server metrics."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from shapebench.report.charts.theme import HEADROOM, ON_PAGE, WIDTH, Entry, Legend, Plot, finish_strips, spread

MAX_INTERVALS = 100  # of a level; more would not be visible
STRIP_HEIGHT = 96
_AT = "at_s"
Row = dict[Hashable, Any]  # of level_summary


@dataclass(frozen=True)
class Line:
    """A column of the timeline (`by_server`: of the server's), and the label and colour of its line."""

    column: str
    label: str
    colour: str
    by_server: bool = True


@dataclass(frozen=True)
class Strip:
    """Lines that share a y axis."""

    title: str
    lines: tuple[Line, ...]
    scale: float = 1
    labels: str = "datum.label"  # of the axis


STRIPS = (
    Strip(
        "Requests",
        (
            Line("busy_streams", "busy streams", "series_0", by_server=False),
            Line("running_requests", "running (server)", "series_2"),
            Line("waiting_requests", "waiting (server)", "series_1"),
        ),
        labels="floor(datum.value) == datum.value ? datum.label : ''",  # requests are whole numbers
    ),
    Strip("Tokens/s", (Line("tokens_per_s", "tokens/s received", "series_3", by_server=False),)),
    Strip("KV cache usage (%)", (Line("kv_cache_usage", "KV cache usage", "series_4"),), scale=100),
)
SCALED = tuple((line, strip.scale) for strip in STRIPS for line in strip.lines)


def plots(timeline: pd.DataFrame, server: pd.DataFrame, levels: pd.DataFrame, title: str) -> list[Plot]:
    """Plot rows of the views `timeline` and `server_timeline`, one plot per level that has some."""
    shown = spread(levels).to_dict("records")
    drawn = (_plot(_select(timeline, level), _select(server, level), level, title) for level in shown)
    return [plot for plot in drawn if plot]


def _select(rows: pd.DataFrame, level: Row) -> pd.DataFrame:
    selected: pd.DataFrame = rows[rows["concurrency"] == level["concurrency"]]
    return selected


def _plot(timeline: pd.DataFrame, server: pd.DataFrame, level: Row, title: str) -> Plot | None:
    rows = _resample(timeline, server)
    lines = [line for line, _ in SCALED if line.column in rows and rows[line.column].notna().any()]
    if not lines:
        return None
    legend = Legend("", "line", tuple(Entry(line.label, line.colour) for line in lines))
    users = f"{level['concurrency']} concurrent {'user' if level['concurrency'] == 1 else 'users'}"
    drawn = [strip for strip in STRIPS if {*strip.lines} & {*lines}]
    strips = [_strip(rows, strip, legend, is_lowest=strip is drawn[-1]) for strip in drawn]
    chart = finish_strips(strips, title, f"{users} over time, {level['verdict']}")
    reading = "warm-up included" if server.empty else "warm-up included; server metrics are maxima of each interval"
    name = f"timeline-{level['concurrency']:04d}"
    return Plot(name, f"{users}, {level['verdict']}", reading, chart, _description(rows, lines, users), legend)


def _resample(timeline: pd.DataFrame, server: pd.DataFrame) -> pd.DataFrame:
    """Join both timelines on up to MAX_INTERVALS intervals: means of the client's values, maxima of the server's."""
    both = pd.concat([timeline[_AT], server[_AT]]).astype(float)
    if both.empty:
        return pd.DataFrame({_AT: []})
    edges = np.linspace(0, max(both.max(), 1e-9), max(1, min(MAX_INTERVALS, timeline.shape[0] or server.shape[0])) + 1)
    client = _in_resample(timeline, edges, "mean", [entry for entry in SCALED if not entry[0].by_server])
    of_server = _in_resample(server, edges, "max", [entry for entry in SCALED if entry[0].by_server])
    middles = pd.DataFrame({_AT: (edges[1:] + edges[:-1]) / 2})
    return middles.join(client).join(of_server).apply(_round)


def _round(values: "pd.Series[float]") -> "pd.Series[float]":
    """Round to the precision of a plot, to keep the page small."""
    return values.map(lambda value: float(f"{value:.4g}"))


def _in_resample(
    rows: pd.DataFrame, edges: "np.typing.NDArray[np.float64]", how: str, lines: list[tuple[Line, float]]
) -> pd.DataFrame:
    place = np.clip(np.searchsorted(edges, rows[_AT].to_numpy(float), side="left") - 1, 0, len(edges) - 2)
    known = {line.column: scale for line, scale in lines if line.column in rows}
    aggregated: pd.DataFrame = (rows[[*known]].astype(float) * pd.Series(known)).groupby(place).agg(how)
    return aggregated


def _strip(rows: pd.DataFrame, strip: Strip, legend: Legend, *, is_lowest: bool) -> alt.LayerChart:
    lines = [line for line in strip.lines if line.label in legend.keys]
    columns: list[Any] = [line.column for line in lines]
    top = (float(np.nanmax(rows[columns].to_numpy(float))) * HEADROOM) or 1.0
    y = alt.Y("value:Q", title=strip.title, scale=alt.Scale(domain=[0, top], nice=False)).axis(
        tickCount=3, labelExpr=strip.labels, grid=True
    )
    drawn = (
        alt.Chart(rows)
        .transform_fold(columns, as_=["column", "value"])
        .transform_calculate(line=f"({ {line.column: line.label for line in lines} })[datum.column]")
        .transform_filter(f"isValid(datum.value) && ({legend.is_chosen})")
        .mark_line(strokeWidth=1.5, aria=False)
        .encode(x=_time(rows, is_lowest=is_lowest), y=y, color=legend.colour())
    )
    return alt.LayerChart(layer=[drawn, _tooltips(rows, lines)], width=WIDTH, height=STRIP_HEIGHT)


def _tooltips(rows: pd.DataFrame, lines: list[Line]) -> alt.Chart:
    """Draw invisible bars as high as the plot that show tooltips."""
    half = float(rows[_AT].iloc[0])
    tooltip = [alt.Tooltip("at_s:Q", title="seconds", format=",.1f")]
    tooltip += [alt.Tooltip(f"{line.column}:Q", title=line.label, format=",.1f") for line in lines]
    bars = (
        alt.Chart(rows)
        .transform_filter(ON_PAGE)
        .transform_calculate(from_s=f"datum.at_s - {half}", to_s=f"datum.at_s + {half}")
        .mark_rect(opacity=0, aria=False)
    )
    tooltips: alt.Chart = bars.encode(
        x=alt.X("from_s:Q"), x2=alt.X2("to_s:Q"), y=alt.value(0), y2=alt.value(STRIP_HEIGHT), tooltip=tooltip
    )
    return tooltips


def _time(rows: pd.DataFrame, *, is_lowest: bool) -> alt.X:
    """Return the shared time axis; only the lowest strip shows its labels."""
    scale = alt.Scale(domain=[0, float(rows[_AT].max())], nice=False)
    title = "Seconds after the first request" if is_lowest else None
    return alt.X("at_s:Q", title=title, scale=scale).axis(grid=False, labels=is_lowest, tickCount=8)


def _description(rows: pd.DataFrame, lines: list[Line], users: str) -> str:
    maxima = [f"{line.label} up to {rows[line.column].max():,.1f}" for line in lines]
    return f"{users} over {rows[_AT].max():,.0f} seconds: {', '.join(maxima)}."
