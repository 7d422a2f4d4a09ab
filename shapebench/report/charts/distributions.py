"""The cumulative distribution of a latency over the requests of each level."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import altair as alt
import numpy as np
import numpy.typing as npt
import pandas as pd

from shapebench.report.charts.limits import ttft_label
from shapebench.report.charts.theme import (
    ABOVE_PLOT,
    MARKS,
    ON_PAGE,
    Entry,
    Legend,
    Plot,
    finish,
    hollow,
    named,
    reach,
    scaled,
    spread,
    step,
    ticks,
)

POINTS = 100  # of a curve; more would not be visible
Values = npt.NDArray[np.floating[Any]]
Levels = dict[tuple[int, str], Values]  # a level's latencies (ms) in order, by its concurrency and verdict

_PERCENTILES = (10, 25, 50, 75, 90, 95, 99)  # with a tooltip


@dataclass(frozen=True)
class Latency:
    """A column of `requests`, the name and title of its plot, and its limit where it has one."""

    column: str
    name: str
    title: str
    limit_s: float | None = None


def latencies(ttft_limit_s: float) -> tuple[Latency, ...]:
    """List the latencies to plot."""
    return (
        Latency("ttft_s", "ttft-distribution", "Time to first token", ttft_limit_s),
        Latency("e2e_s", "e2e-distribution", "End-to-end latency"),
        Latency("tpot_s", "tpot-distribution", "Time per output token"),
    )


def plots(requests: pd.DataFrame, levels: pd.DataFrame, ttft_limit_s: float, title: str) -> list[Plot]:
    """Plot completed requests without warm-up, from their `concurrency` and latencies (s)."""
    drawn = requests.merge(spread(levels)[["concurrency", "verdict"]], on="concurrency")
    plots = (_plot(drawn, latency, title) for latency in latencies(ttft_limit_s))
    return [plot for plot in plots if plot]


def _plot(requests: pd.DataFrame, latency: Latency, title: str) -> Plot | None:
    measured = requests[requests[latency.column].astype(float) > 0]
    if measured.empty:
        return None
    groups = measured.groupby(["concurrency", "verdict"])[latency.column]
    levels: Levels = {key: np.sort(values.to_numpy(float)) * 1000 for key, values in groups}  # type: ignore[misc]
    legend = _legend([*levels])
    curves = pd.concat([_curve(key, values) for key, values in levels.items()], ignore_index=True)
    marked = pd.concat([_percentiles(key, values) for key, values in levels.items()], ignore_index=True)
    reading = f"cumulative distribution over the requests of each level; points are medians{hollow(marked)}"
    chart = _chart(curves, marked, latency, legend, title)
    return Plot(latency.name, latency.title, reading, chart, _description(marked, latency), legend)


def _legend(keys: list[tuple[int, str]]) -> Legend:
    entries = (Entry(str(level), step(at, len(keys)), verdict) for at, (level, verdict) in enumerate(keys))
    return Legend("Concurrent users", "level", tuple(entries))


def _curve(key: tuple[int, str], ms: Values) -> pd.DataFrame:
    """Return the distribution function, thinned to POINTS values that include the minimum and the maximum."""
    places = np.unique(np.linspace(0, len(ms) - 1, POINTS).round().astype(int))
    shares = np.append(0, (places + 1) / len(ms))
    return pd.DataFrame({"level": str(key[0]), "ms": _round(ms[[0, *places]]), "share": _round(shares)})


def _percentiles(key: tuple[int, str], ms: Values) -> pd.DataFrame:
    marked = {"ms": np.percentile(ms, _PERCENTILES), "share": np.array(_PERCENTILES) / 100}
    return pd.DataFrame({"level": str(key[0]), "verdict": key[1], **marked, "requests": len(ms)})


def _round(values: Values) -> list[float]:
    """Round to the precision of a plot, to keep the page small."""
    return [float(f"{value:.5g}") for value in values]


def _chart(curves: pd.DataFrame, marked: pd.DataFrame, latency: Latency, legend: Legend, title: str) -> alt.LayerChart:
    limit = pd.Series([latency.limit_s * 1000] if latency.limit_s else [])
    ends = reach("log", curves["ms"], limit)
    x = alt.X("ms:Q", title=f"{latency.title} (ms)", scale=scaled("log", ends))
    y = alt.Y("share:Q", title="Share of requests", scale=alt.Scale(domain=[0, 1]))
    lines = alt.Chart(curves).mark_line(interpolate="step-after", strokeWidth=1.75, aria=False)
    drawn = lines.encode(
        x=x.axis(ticks("log", ends)),
        y=y.axis(values=[0, 0.25, 0.5, 0.75, 0.95, 1], format=".0%", grid=True),
        color=legend.colour(),
    )
    layers = [drawn, *map(partial(_median, marked, legend), MARKS), _tooltips(marked)]
    return finish(
        [*_limit(latency), *(layer.transform_filter(legend.is_chosen) for layer in layers)],
        title,
        f"{latency.title}: cumulative distribution over requests",
    )


def _median(marked: pd.DataFrame, legend: Legend, verdict: str) -> alt.Chart:
    shape, fill = MARKS[verdict]
    filled = {"fill": named(fill)} if fill == "paper" else {"filled": True}
    medians = marked[(marked["share"] == 0.5) & (marked["verdict"] == verdict)]
    points = alt.Chart(medians).mark_point(shape=shape, size=56, strokeWidth=1.5, opacity=1, aria=False, **filled)
    drawn: alt.Chart = points.encode(x=alt.X("ms:Q"), y=alt.Y("share:Q"), color=legend.colour())
    return drawn


def _tooltips(marked: pd.DataFrame) -> alt.Chart:
    """Draw invisible points along the curves that show tooltips."""
    points: alt.Chart = (
        alt.Chart(marked)
        .transform_filter(ON_PAGE)
        .mark_point(size=150, opacity=0, filled=True, aria=False)
        .encode(
            x=alt.X("ms:Q"),
            y=alt.Y("share:Q"),
            tooltip=[
                alt.Tooltip("level:N", title="concurrent users"),
                alt.Tooltip("share:Q", title="share of requests", format=".0%"),
                alt.Tooltip("ms:Q", title="latency, ms", format=",.1f"),
                alt.Tooltip("requests:Q", title="requests"),
                alt.Tooltip("verdict:N", title="verdict"),
            ],
        )
    )
    return points


def _limit(latency: Latency) -> list[alt.Chart]:
    if latency.limit_s is None:
        return []
    base = alt.Chart(alt.InlineData(values=[{}])).encode(x=alt.datum(latency.limit_s * 1000))
    rule = base.mark_rule(color=named("limit"), strokeDash=[5, 4], aria=False)
    label = base.mark_text(color=named("limit"), fontSize=12, aria=False)
    return [rule, label.encode(y=alt.value(ABOVE_PLOT), text=alt.value(ttft_label(latency.limit_s)))]


def _description(marked: pd.DataFrame, latency: Latency) -> str:
    medians = [f"{row['ms']:,.0f} ms at {row['level']}" for row in marked[marked["share"] == 0.5].to_dict("records")]
    return f"{latency.title} at each level; medians: {', '.join(medians)}."
