"""One number of an endpoint over its runs, a line for each level, with the runs marked that are worse than before."""

import altair as alt
import pandas as pd

from shapebench.report.charts.theme import Entry, Legend, Plot, finish, named, step

_CROSS = "M-1,-1L1,1M1,-1L-1,1"


def history(rows: pd.DataFrame, column: str, name: str, title: str) -> Plot:
    """`rows` has `started_at`, `concurrency`, `verdict`, the column, and whether it is `worse` than before."""
    drawn = rows.dropna(subset=[column]).assign(level=rows["concurrency"].astype(int).astype(str))
    levels = [str(level) for level in sorted(rows["concurrency"].astype(int).unique())]
    legend = Legend(
        "Concurrent users", "level", tuple(Entry(key, step(at, len(levels))) for at, key in enumerate(levels))
    )
    layers = [layer.transform_filter(legend.is_chosen) for layer in _layers(drawn, column, title, legend)]
    reading = (
        "a line for each number of concurrent users; crosses are worse than the runs before, more than these differ"
    )
    return Plot(name, title, reading, finish(layers, title, "over time"), _said(title, column, drawn), legend)


def _layers(drawn: pd.DataFrame, column: str, title: str, legend: Legend) -> list[alt.Chart]:
    y = alt.Y(f"{column}:Q", title=title, scale=alt.Scale(zero=True, nice=True)).axis(tickCount=6, grid=True)
    x = alt.X("started_at:T", title="Run began (UTC)", scale=alt.Scale(type="utc", padding=14)).axis(
        tickCount=4, grid=False, labelOverlap=True, format=_moments(drawn["started_at"])
    )
    base = alt.Chart(drawn).encode(x=x, y=y)
    tooltip = [
        alt.Tooltip("run_id:N", title="run"),
        alt.Tooltip("concurrency:Q", title="concurrent users"),
        alt.Tooltip(f"{column}:Q", title=title, format=",.1f"),
        alt.Tooltip("worse:N", title="worse than before"),
        alt.Tooltip("verdict:N", title="measurement"),
    ]
    line = base.mark_line(strokeWidth=1.5, opacity=0.6, aria=False).encode(color=legend.colour())
    dots = base.mark_point(filled=True, size=55, opacity=1).encode(color=legend.colour(), tooltip=tooltip)
    worse = drawn[drawn["worse"]]
    crosses = alt.Chart(worse).mark_point(shape=_CROSS, size=260, strokeWidth=2.5, stroke=named("suspect"), opacity=1)
    return [line, dots, *([] if worse.empty else [crosses.encode(x=x, y=y, tooltip=tooltip)])]


def _moments(began: "pd.Series[pd.Timestamp]") -> str:
    return "%Y-%m-%d" if began.max() - began.min() > pd.Timedelta(days=4) else "%Y-%m-%d %H:%M"


def _said(title: str, column: str, drawn: pd.DataFrame) -> str:
    if drawn.empty:
        return f"{title} over time: no run has numbers to draw."
    worse = drawn[drawn["worse"]]
    marked = f"{len(worse)} points are worse than the runs before" if len(worse) else "none is worse than those before"
    span = f"from {drawn[column].min():,.1f} to {drawn[column].max():,.1f}"
    return f"{title} over {drawn['run_id'].nunique()} runs, {span}; {marked}."
