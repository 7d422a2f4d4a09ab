"""The article's Figure 2: throughput per query and TTFT against system throughput."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any

import altair as alt
import pandas as pd

from shapebench.report.charts.labels import ABOVE, BELOW, Frame, Place, labels
from shapebench.report.charts.limits import query_label, ttft_label
from shapebench.report.charts.theme import (
    Plot,
    Scale,
    by_verdict,
    finish,
    named,
    reach,
    scaled,
    ticks,
    verdicts,
)
from shapebench.spec.metric_definitions import BETTER, HIGHER, Direction
from shapebench.spec.model import Limits

READING_TOKENS_PER_S = 15  # the article: people read 10 to 15 tokens/s

Draw = Callable[[pd.DataFrame, Limits, str], alt.LayerChart]
Describe = Callable[[pd.DataFrame, Limits], str]


@dataclass(frozen=True)
class ChartEntry:
    """One plot: `draw(levels, limits, title)`, and `describe(levels, limits)` for its text alternative."""

    name: str  # of its files, less the ending
    title: str
    reading: str  # how to read it, in a line
    draw: Draw
    describe: Describe

    def plot(self, levels: pd.DataFrame, limits: Limits, title: str) -> Plot:
        chart = self.draw(levels, limits, title)
        legend = verdicts(_drawable(_points(levels))["verdict"])
        return Plot(self.name, self.title, self.reading, chart, self.describe(levels, limits), legend)


@dataclass(frozen=True)
class _Axis:
    """A column plotted against system throughput, with its unit and limit."""

    column: str
    title: str
    unit: str
    limit: float
    limit_label: str
    better: Direction | None
    prefer: list[Place]  # for labels: off the curve
    scale: Scale = "linear"


def throughput_query(levels: pd.DataFrame, limits: Limits, title: str) -> alt.LayerChart:
    """Plot Figure 2, left: throughput per query against system throughput."""
    return _chart(levels, _query_axis(limits), title, QUERY)


def throughput_ttft(levels: pd.DataFrame, limits: Limits, title: str, scale: Scale = "linear") -> alt.LayerChart:
    """Plot Figure 2, right: time to first token against system throughput."""
    return _chart(levels, _ttft_axis(limits, scale), title, TTFT)


def describe_query(levels: pd.DataFrame, limits: Limits) -> str:
    return _description(_points(levels), _query_axis(limits))


def describe_ttft(levels: pd.DataFrame, limits: Limits) -> str:
    return _description(_points(levels), _ttft_axis(limits))


QUERY = ChartEntry(
    "throughput-query",
    "Throughput per query",
    "one point per concurrency level",
    throughput_query,
    describe_query,
)
TTFT = ChartEntry(
    "throughput-ttft",
    "Time to first token",
    "points are means, whiskers extend to the 95th percentile",
    throughput_ttft,
    describe_ttft,
)
TTFT_LOG = ChartEntry(
    "throughput-ttft-log",
    TTFT.title,
    TTFT.reading,
    partial(throughput_ttft, scale="log"),
    describe_ttft,
)
CHARTS = (QUERY, TTFT, TTFT_LOG)


def _query_axis(limits: Limits) -> _Axis:
    label = query_label(limits.query_tokens_per_s)
    if limits.query_tokens_per_s < READING_TOKENS_PER_S:
        label += f" (fast readers: {READING_TOKENS_PER_S})"
    title = "Throughput per query (tokens/s)"
    return _Axis(
        "query_tokens_per_s_mean",
        title,
        "tokens/s",
        limits.query_tokens_per_s,
        label,
        BETTER["query_tokens_per_s"],
        ABOVE,
    )


def _ttft_axis(limits: Limits, scale: Scale = "linear") -> _Axis:
    label = ttft_label(limits.ttft_s)
    return _Axis(
        "ttft_ms_mean", "Time to first token (ms)", "ms", limits.ttft_s * 1000, label, BETTER["ttft_s"], BELOW, scale
    )


def _points(levels: pd.DataFrame) -> pd.DataFrame:
    """Return the levels by concurrency, times in milliseconds; missing numbers are NaN."""
    source = {
        "system_tokens_per_s": "system_tokens_per_s",
        "query_tokens_per_s_mean": "query_tokens_per_s_mean",
        "ttft_ms_mean": "ttft_s_mean",
        "ttft_ms_p95": "ttft_s_p95",
    }
    points = levels.reindex(columns=[*source.values()]).astype(float).set_axis([*source], axis="columns")
    points[["ttft_ms_mean", "ttft_ms_p95"]] *= 1000
    return points.assign(concurrency=levels["concurrency"], verdict=levels["verdict"]).sort_values("concurrency")


def _drawable(points: pd.DataFrame, *columns: str) -> pd.DataFrame:
    return points.dropna(subset=["system_tokens_per_s", *columns])


def _chart(levels: pd.DataFrame, axis: _Axis, title: str, entry: ChartEntry) -> alt.LayerChart:
    points = _points(levels)
    drawn = _drawable(points, axis.column)
    frame = _frame(drawn, axis)
    curve = [_line(drawn, axis, frame), *_whiskers(drawn, axis)]
    curve += [by_verdict(drawn, "system_tokens_per_s:Q", f"{axis.column}:Q", _tooltip())]
    limit_label = frame.text_above(axis.limit, axis.limit_label)
    curve += labels(drawn, ("system_tokens_per_s", axis.column), frame, axis.prefer, [limit_label])
    if legend := verdicts(drawn["verdict"]):
        curve = [layer.transform_filter(legend.is_chosen) for layer in curve]
    return finish([*_limit(axis), *curve], title, f"{entry.title}: {entry.reading}")


def _frame(drawn: pd.DataFrame, axis: _Axis) -> Frame:
    highest = [drawn["ttft_ms_p95"]] if axis.unit == "ms" else []
    return Frame(
        x=reach("linear", drawn["system_tokens_per_s"]),
        y=reach(axis.scale, drawn[axis.column], pd.Series([axis.limit]), *highest),
        y_scale=axis.scale,
    )


def _limit(axis: _Axis) -> list[alt.Chart]:
    """Draw the limit, its label, and a shade over the side that misses it."""
    base = alt.Chart(alt.InlineData(values=[{}])).encode(y=alt.datum(axis.limit))
    bad_end = named("height" if axis.better == HIGHER else "0")
    shade = base.mark_rect(color=named("limit"), opacity=0.1, aria=False).encode(y2=alt.value(bad_end))
    rule = base.mark_rule(color=named("limit"), strokeDash=[5, 4], aria=False)
    label = base.mark_text(color=named("limit"), fontSize=12, align="left", baseline="bottom", dx=5, dy=-4, aria=False)
    drawn = label.encode(x=alt.value(0), text=alt.value(axis.limit_label))
    return [shade, *_reading_band(axis), rule, drawn]


def _reading_band(axis: _Axis) -> list[alt.Chart]:
    """Shade the range from the limit to the speed of the fastest readers."""
    if axis.better != HIGHER or axis.limit >= READING_TOKENS_PER_S:
        return []
    band = alt.Chart(alt.InlineData(values=[{}])).mark_rect(color=named("limit"), opacity=0.05, aria=False)
    return [band.encode(y=alt.datum(axis.limit), y2=alt.datum(READING_TOKENS_PER_S))]


def _line(drawn: pd.DataFrame, axis: _Axis, frame: Frame) -> alt.Chart:
    x = alt.X("system_tokens_per_s:Q", title="System throughput (tokens/s)", scale=scaled("linear", frame.x))
    y = alt.Y(f"{axis.column}:Q", title=axis.title, scale=scaled(axis.scale, frame.y), axis=ticks(axis.scale, frame.y))
    line = alt.Chart(drawn).mark_line(color=named("valid"), strokeWidth=1.5, opacity=0.55, aria=False)
    encoded: alt.Chart = line.encode(x=x.axis(tickCount=6, grid=False), y=y, order=alt.Order("concurrency:O"))
    return encoded


def _whiskers(drawn: pd.DataFrame, axis: _Axis) -> list[alt.Chart]:
    if axis.unit != "ms":
        return []
    base = alt.Chart(_drawable(drawn, "ttft_ms_p95")).encode(x=alt.X("system_tokens_per_s:Q"))
    stem = base.mark_rule(color=named("faint"), aria=False).encode(
        y=alt.Y(f"{axis.column}:Q"), y2=alt.Y2("ttft_ms_p95:Q")
    )
    cap = base.mark_tick(color=named("faint"), orient="horizontal", size=9, thickness=1.5, aria=False)
    return [stem, cap.encode(y=alt.Y("ttft_ms_p95:Q"))]


def _tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("concurrency:Q", title="concurrent users"),
        alt.Tooltip("system_tokens_per_s:Q", title="system, tokens/s", format=",.1f"),
        alt.Tooltip("query_tokens_per_s_mean:Q", title="per query, tokens/s", format=",.1f"),
        alt.Tooltip("ttft_ms_mean:Q", title="TTFT mean, ms", format=",.1f"),
        alt.Tooltip("ttft_ms_p95:Q", title="TTFT p95, ms", format=",.1f"),
        alt.Tooltip("verdict:N", title="verdict"),
    ]


def _description(points: pd.DataFrame, axis: _Axis) -> str:
    drawn = _drawable(points, axis.column)
    if drawn.empty:
        return f"{axis.title} against system throughput: no level has numbers to draw."
    ends = [_end(row, axis) for row in drawn.iloc[[0, -1]].to_dict("records")]
    path = f"from {ends[0]} to {ends[1]}" if len(drawn) > 1 else ends[0]
    return f"{axis.title} against system throughput: {path}. The limit, {axis.limit_label}, is a dashed line."


def _end(row: dict[Hashable, Any], axis: _Axis) -> str:
    value, system = row[axis.column], row["system_tokens_per_s"]
    return f"{value:,.0f} {axis.unit} at {system:,.0f} tokens/s system throughput with concurrency {row['concurrency']}"
