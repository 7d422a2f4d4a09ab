"""A metric of an endpoint over its runs, one line per level, with regressions marked."""

import altair as alt
import pandas as pd

from shapebench.report.charts.theme import Entry, Legend, Plot, finish, named, step

_CROSS = "M-1,-1L1,1M1,-1L-1,1"


def plot_history(rows: pd.DataFrame, column: str, name: str, title: str) -> Plot:
    """Plot a column of `rows`, which also have `started_at`, `concurrency`, `verdict` and `worse`."""
    drawn = rows.dropna(subset=[column]).assign(level=rows["concurrency"].astype(int).astype(str))
    levels = [str(level) for level in sorted(rows["concurrency"].astype(int).unique())]
    legend = Legend(
        "Concurrent users", "level", tuple(Entry(key, step(at, len(levels))) for at, key in enumerate(levels))
    )
    layers = [layer.transform_filter(legend.is_chosen) for layer in _layers(drawn, column, title, legend)]
    reading = "one line per concurrency level; crosses mark regressions against the runs before"
    return Plot(name, title, reading, finish(layers, title, "over time"), _description(title, column, drawn), legend)


def _layers(drawn: pd.DataFrame, column: str, title: str, legend: Legend) -> list[alt.Chart]:
    y = alt.Y(f"{column}:Q", title=title, scale=alt.Scale(zero=True, nice=True)).axis(tickCount=6, grid=True)
    x = alt.X("started_at:T", title="Run started (UTC)", scale=alt.Scale(type="utc", padding=14)).axis(
        tickCount=4, grid=False, labelOverlap=True, format=_time_format(drawn["started_at"])
    )
    base = alt.Chart(drawn).encode(x=x, y=y)
    tooltip = [
        alt.Tooltip("run_id:N", title="run"),
        alt.Tooltip("concurrency:Q", title="concurrent users"),
        alt.Tooltip(f"{column}:Q", title=title, format=",.1f"),
        alt.Tooltip("worse:N", title="regression"),
        alt.Tooltip("verdict:N", title="verdict"),
    ]
    line = base.mark_line(strokeWidth=1.5, opacity=0.6, aria=False).encode(color=legend.colour())
    dots = base.mark_point(filled=True, size=55, opacity=1).encode(color=legend.colour(), tooltip=tooltip)
    worse = drawn[drawn["worse"]]
    crosses = alt.Chart(worse).mark_point(shape=_CROSS, size=260, strokeWidth=2.5, stroke=named("suspect"), opacity=1)
    return [line, dots, *([] if worse.empty else [crosses.encode(x=x, y=y, tooltip=tooltip)])]


def _time_format(began: "pd.Series[pd.Timestamp]") -> str:
    return "%Y-%m-%d" if began.max() - began.min() > pd.Timedelta(days=4) else "%Y-%m-%d %H:%M"


def _description(title: str, column: str, drawn: pd.DataFrame) -> str:
    if drawn.empty:
        return f"{title} over time: no run has numbers to draw."
    worse = drawn[drawn["worse"]]
    marked = f"{len(worse)} regressions" if len(worse) else "no regressions"
    span = f"from {drawn[column].min():,.1f} to {drawn[column].max():,.1f}"
    return f"{title} over {drawn['run_id'].nunique()} runs, {span}; {marked}."
