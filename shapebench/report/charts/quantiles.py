"""Percentiles of a latency at each level, with 95% intervals."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any

import altair as alt
import pandas as pd

from shapebench.analysis.percentile_intervals import SHOWN
from shapebench.report.charts.limits import ttft_label
from shapebench.report.charts.theme import (
    CROSSED_BOX,
    Entry,
    Legend,
    Plot,
    Scale,
    finish,
    hollow,
    named,
    reach,
    scaled,
    step,
    ticks,
)

LEGEND = Legend("Percentile", "percentile", tuple(Entry(name, step(at, len(SHOWN))) for at, name in enumerate(SHOWN)))
_NAMES: dict[Scale, str] = {"linear": "", "log": "-log"}


@dataclass(frozen=True)
class Latency:
    """A metric, the name and title of its plots, and its limit where it has one."""

    metric: str
    name: str
    title: str
    limit_s: float | None = None

    @property
    def axis(self) -> str:
        return f"{self.title} (ms)"


def ttft(limit_s: float) -> Latency:
    """Return the time to first token with its limit."""
    return Latency("ttft_s", "ttft-percentiles", "Time to first token", limit_s)


GAPS = Latency("inter_token_s", "inter-token-percentiles", "Time between tokens")


def plots(levels: pd.DataFrame, intervals: pd.DataFrame, latency: Latency, title: str) -> list[Plot]:
    """Plot over a linear and over a logarithmic axis; returns no plot where nothing was measured.

    `intervals` has rows of `concurrency`, `metric`, `stat`, `low_s` and `high_s`.
    """
    points = _points(levels, intervals, latency)
    if points.empty:
        return []
    has_intervals = bool(points["low_ms"].notna().any())
    whiskers = "whiskers are 95% intervals" if has_intervals else "no intervals, since single requests are not stored"
    reading = f"{whiskers}{hollow(points)}"
    drawn = partial(_chart, points, latency, title, f"{latency.title} by level: {whiskers}")
    description = _description(points, latency)
    return [
        Plot(f"{latency.name}{ending}", latency.title, reading, drawn(scale), description, LEGEND)
        for scale, ending in _NAMES.items()
    ]


def _points(levels: pd.DataFrame, intervals: pd.DataFrame, latency: Latency) -> pd.DataFrame:
    """Return a row per level and percentile, in milliseconds."""
    columns = [f"{latency.metric}_{stat}" for stat in SHOWN]
    wide = levels.reindex(columns=["concurrency", "verdict", *columns]).set_axis(
        ["concurrency", "verdict", *SHOWN], axis="columns"
    )
    tall = wide.melt(["concurrency", "verdict"], var_name="percentile", value_name="value").dropna(subset=["value"])
    mine = intervals[intervals["metric"] == latency.metric].rename(columns={"stat": "percentile"})
    points = tall.merge(mine.drop(columns="metric"), on=["concurrency", "percentile"], how="left")
    in_ms = {f"{end}_ms": points[column].astype(float) * 1000 for end, column in _SECONDS.items()}
    return points.drop(columns=[*_SECONDS.values()]).assign(**in_ms).sort_values(["concurrency", "value_ms"])


_SECONDS = {"value": "value", "low": "low_s", "high": "high_s"}


def _chart(points: pd.DataFrame, latency: Latency, title: str, subtitle: str, scale: Scale) -> alt.LayerChart:
    limit = pd.Series([latency.limit_s * 1000] if latency.limit_s else [])
    ends = reach(scale, points["value_ms"], points["low_ms"], points["high_ms"], limit)
    layers = [layer.transform_filter(LEGEND.is_chosen) for layer in _layers(points, latency, scale, ends)]
    return finish([*layers, *_limit(latency)], title, subtitle)


def _layers(points: pd.DataFrame, latency: Latency, scale: Scale, ends: tuple[float, float]) -> list[alt.Chart]:
    levels = [*points["concurrency"].drop_duplicates()]
    x = alt.X("concurrency:O", title="Concurrent users", sort=levels).axis(labelAngle=0, grid=False, labelOverlap=True)
    offset = alt.XOffset("percentile:N", scale=alt.Scale(domain=LEGEND.keys, paddingOuter=0.6))
    y = alt.Y("value_ms:Q", title=latency.axis, scale=scaled(scale, ends), axis=ticks(scale, ends))
    base = alt.Chart(points).encode(x=x, xOffset=offset, color=LEGEND.colour())
    line = base.mark_line(strokeWidth=1.25, opacity=0.45, aria=False).encode(y=y)
    whiskers = alt.Chart(points.dropna(subset=["low_ms"])).encode(x=x, xOffset=offset, color=LEGEND.colour())
    stem = whiskers.mark_rule(strokeWidth=1.75, opacity=0.7, aria=False).encode(
        y=alt.Y("low_ms:Q"), y2=alt.Y2("high_ms:Q")
    )
    return [line, stem, *(_marks(base, verdict) for verdict in _SHAPES)]


_SHAPES = {"valid": ("circle", ""), "suspect": ("circle", "paper"), "invalid": (CROSSED_BOX, "paper")}


def _marks(base: alt.Chart, verdict: str) -> alt.Chart:
    """Draw points in the colour of their percentile: filled where the level is valid, else hollow."""
    shape, fill = _SHAPES[verdict]
    filled: dict[str, Any] = {"fill": named(fill)} if fill else {"filled": True}
    points = base.transform_filter(alt.datum.verdict == verdict)
    marks: alt.Chart = points.mark_point(shape=shape, size=56, strokeWidth=1.5, opacity=1, **filled).encode(
        y=alt.Y("value_ms:Q"), tooltip=_tooltip()
    )
    return marks


def _tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("concurrency:O", title="concurrent users"),
        alt.Tooltip("percentile:N", title="percentile"),
        alt.Tooltip("value_ms:Q", title="ms", format=",.1f"),
        alt.Tooltip("low_ms:Q", title="95% interval from, ms", format=",.1f"),
        alt.Tooltip("high_ms:Q", title="to, ms", format=",.1f"),
        alt.Tooltip("verdict:N", title="verdict"),
    ]


def _limit(latency: Latency) -> list[alt.Chart]:
    if latency.limit_s is None:
        return []
    base = alt.Chart(alt.InlineData(values=[{}])).encode(y=alt.datum(latency.limit_s * 1000))
    rule = base.mark_rule(color=named("limit"), strokeDash=[5, 4], aria=False)
    label = base.mark_text(color=named("limit"), align="left", baseline="bottom", dx=5, dy=-4, fontSize=12, aria=False)
    return [rule, label.encode(x=alt.value(0), text=alt.value(ttft_label(latency.limit_s)))]


def _description(points: pd.DataFrame, latency: Latency) -> str:
    highest = points.groupby("concurrency").tail(1).to_dict("records")
    return f"{latency.axis} by level, up to {', '.join(map(_highest, highest))}."


def _highest(row: dict[Hashable, Any]) -> str:
    return f"{row['value_ms']:,.0f} ({row['percentile']}) at {row['concurrency']}"
