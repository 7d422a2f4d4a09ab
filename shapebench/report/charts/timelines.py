"""How one level went over time: by our clock, and by the server's own account."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from shapebench.report.charts.theme import HEADROOM, ON_PAGE, WIDTH, Entry, Legend, Plot, finish_strips, spread

SPANS = 100  # that a level is cut into at most; more is not to be seen
STRIP_HEIGHT = 96
_AT = "at_s"
Row = dict[Hashable, Any]  # of level_summary


@dataclass(frozen=True)
class Line:
    """A column of the timeline (`by_server`: of the server's), and the colour and name of its line."""

    column: str
    says: str
    colour: str
    by_server: bool = True


@dataclass(frozen=True)
class Strip:
    """Lines that share an axis."""

    title: str
    lines: tuple[Line, ...]
    scale: float = 1
    labels: str = "datum.label"  # of the axis


STRIPS = (
    Strip(
        "Requests",
        (
            Line("busy_streams", "streams busy", "series_0", by_server=False),
            Line("running_requests", "running at the server", "series_2"),
            Line("waiting_requests", "waiting at the server", "series_1"),
        ),
        labels="floor(datum.value) == datum.value ? datum.label : ''",  # there is no half a request
    ),
    Strip("Tokens/s", (Line("tokens_per_s", "tokens/s that arrived", "series_3", by_server=False),)),
    Strip("KV cache (%)", (Line("kv_cache_usage", "KV cache in use", "series_4"),), scale=100),
)
SCALED = tuple((line, strip.scale) for strip in STRIPS for line in strip.lines)


def plots(timeline: pd.DataFrame, server: pd.DataFrame, levels: pd.DataFrame, title: str) -> list[Plot]:
    """Of rows of the views `timeline` and `server_timeline`; one for each level that has some."""
    some = spread(levels).to_dict("records")
    found = (_plot(_of(timeline, level), _of(server, level), level, title) for level in some)
    return [plot for plot in found if plot]


def _of(rows: pd.DataFrame, level: Row) -> pd.DataFrame:
    found: pd.DataFrame = rows[rows["concurrency"] == level["concurrency"]]
    return found


def _plot(timeline: pd.DataFrame, server: pd.DataFrame, level: Row, title: str) -> Plot | None:
    rows = _spans(timeline, server)
    lines = [line for line, _ in SCALED if line.column in rows and rows[line.column].notna().any()]
    if not lines:
        return None
    legend = Legend("", "line", tuple(Entry(line.says, line.colour) for line in lines))
    users = f"{level['concurrency']} concurrent {'user' if level['concurrency'] == 1 else 'users'}"
    drawn = [strip for strip in STRIPS if {*strip.lines} & {*lines}]
    strips = [_strip(rows, strip, legend, is_lowest=strip is drawn[-1]) for strip in drawn]
    chart = finish_strips(strips, title, f"{users} over time, {level['verdict']}")
    reading = "warm-up included" if server.empty else "warm-up included; of the server's numbers the most in each span"
    name = f"timeline-{level['concurrency']:04d}"
    return Plot(name, f"{users}, {level['verdict']}", reading, chart, _description(rows, lines, users), legend)


def _spans(timeline: pd.DataFrame, server: pd.DataFrame) -> pd.DataFrame:
    """Both in the same few spans of time: the mean of what we counted, the most of what the server told."""
    both = pd.concat([timeline[_AT], server[_AT]]).astype(float)
    if both.empty:
        return pd.DataFrame({_AT: []})
    edges = np.linspace(0, max(both.max(), 1e-9), max(1, min(SPANS, timeline.shape[0] or server.shape[0])) + 1)
    ours = _in_spans(timeline, edges, "mean", [one for one in SCALED if not one[0].by_server])
    theirs = _in_spans(server, edges, "max", [one for one in SCALED if one[0].by_server])
    middles = pd.DataFrame({_AT: (edges[1:] + edges[:-1]) / 2})
    return middles.join(ours).join(theirs).apply(_short)


def _short(values: "pd.Series[float]") -> "pd.Series[float]":
    """To so many digits as can be seen: the page carries them all."""
    return values.map(lambda value: float(f"{value:.4g}"))


def _in_spans(
    rows: pd.DataFrame, edges: "np.typing.NDArray[np.float64]", how: str, lines: list[tuple[Line, float]]
) -> pd.DataFrame:
    place = np.clip(np.searchsorted(edges, rows[_AT].to_numpy(float), side="left") - 1, 0, len(edges) - 2)
    known = {line.column: scale for line, scale in lines if line.column in rows}
    found: pd.DataFrame = (rows[[*known]].astype(float) * pd.Series(known)).groupby(place).agg(how)
    return found


def _strip(rows: pd.DataFrame, strip: Strip, legend: Legend, *, is_lowest: bool) -> alt.LayerChart:
    lines = [line for line in strip.lines if line.says in legend.keys]
    columns: list[Any] = [line.column for line in lines]
    top = (float(np.nanmax(rows[columns].to_numpy(float))) * HEADROOM) or 1.0
    y = alt.Y("value:Q", title=strip.title, scale=alt.Scale(domain=[0, top], nice=False)).axis(
        tickCount=3, labelExpr=strip.labels, grid=True
    )
    drawn = (
        alt.Chart(rows)
        .transform_fold(columns, as_=["column", "value"])
        .transform_calculate(line=f"({ {line.column: line.says for line in lines} })[datum.column]")
        .transform_filter(f"isValid(datum.value) && ({legend.is_chosen})")
        .mark_line(strokeWidth=1.5, aria=False)
        .encode(x=_time(rows, is_lowest=is_lowest), y=y, color=legend.colour())
    )
    return alt.LayerChart(layer=[drawn, _pointed_at(rows, lines)], width=WIDTH, height=STRIP_HEIGHT)


def _pointed_at(rows: pd.DataFrame, lines: list[Line]) -> alt.Chart:
    """Unseen bars, as high as the plot, that say what was at their time."""
    half = float(rows[_AT].iloc[0])
    tooltip = [alt.Tooltip("at_s:Q", title="s after the start", format=",.1f")]
    tooltip += [alt.Tooltip(f"{line.column}:Q", title=line.says, format=",.1f") for line in lines]
    bars = (
        alt.Chart(rows)
        .transform_filter(ON_PAGE)
        .transform_calculate(from_s=f"datum.at_s - {half}", to_s=f"datum.at_s + {half}")
        .mark_rect(opacity=0, aria=False)
    )
    pointed: alt.Chart = bars.encode(
        x=alt.X("from_s:Q"), x2=alt.X2("to_s:Q"), y=alt.value(0), y2=alt.value(STRIP_HEIGHT), tooltip=tooltip
    )
    return pointed


def _time(rows: pd.DataFrame, *, is_lowest: bool) -> alt.X:
    """The axis that all strips share; only the lowest has its numbers."""
    scale = alt.Scale(domain=[0, float(rows[_AT].max())], nice=False)
    title = "Seconds after the first request" if is_lowest else None
    return alt.X("at_s:Q", title=title, scale=scale).axis(grid=False, labels=is_lowest, tickCount=8)


def _description(rows: pd.DataFrame, lines: list[Line], users: str) -> str:
    most = [f"{line.says} up to {rows[line.column].max():,.1f}" for line in lines]
    return f"{users} over {rows[_AT].max():,.0f} seconds: {', '.join(most)}."
