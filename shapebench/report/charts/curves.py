"""Several runs in one plot: one curve per run, one point per concurrency level."""

from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from shapebench.report.charts.theme import SERIES, Entry, Legend, Plot, finish, hollow, named

_SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right", "triangle-left")
_FEW = 2  # curves, whose points all have room for a label


@dataclass(frozen=True)
class Axis:
    """A column of the points and how its axis is drawn."""

    column: str
    title: str
    format: str = ",.1f"
    limit: float | None = None
    limit_label: str = ""
    log: bool = False


@dataclass(frozen=True)
class Curves:
    """A plot of one column against another, one curve per run."""

    name: str
    title: str
    reading: str
    x: Axis
    y: Axis

    def plot(self, points: pd.DataFrame, subtitle: str) -> Plot:
        """Plot `points`: one row per level, with the curve's name in `series` and the columns of the axes.

        `subtitle` names the runs.
        """
        drawn = points.dropna(subset=[self.x.column, self.y.column]).sort_values(["series", "concurrency"])
        legend = runs_legend(list(points["series"].unique()))
        layers = [*_limit(self.y), _lines(drawn, self, legend), *_marks(drawn, self, legend), *_labels(drawn, self)]
        shown = [layer.transform_filter(legend.is_chosen) for layer in layers]
        reading = self.reading + hollow(drawn)
        return Plot(
            self.name, self.title, reading, finish(shown, self.title, subtitle), self._description(drawn), legend
        )

    def _description(self, drawn: pd.DataFrame) -> str:
        against = f"{self.y.title} against {self.x.title.lower()}"
        if drawn.empty:
            return f"{against}: no level has numbers to draw."
        ends = [self._end(str(name), rows.iloc[-1]) for name, rows in drawn.groupby("series", sort=False)]
        return f"{against}, one curve per run: {'; '.join(ends)}."

    def _end(self, name: str, row: "pd.Series[Any]") -> str:
        x, y = (format(row[axis.column], axis.format) for axis in (self.x, self.y))
        return f"{name} ends at {y} by {x} at concurrency {row['concurrency']}"


def _limit(axis: Axis) -> list[alt.Chart]:
    if axis.limit is None:
        return []
    base = alt.Chart(alt.InlineData(values=[{}])).encode(y=alt.datum(axis.limit))
    rule = base.mark_rule(color=named("limit"), strokeDash=[5, 4], aria=False)
    label = base.mark_text(color=named("limit"), align="left", baseline="bottom", dx=5, dy=-4)
    return [rule, label.encode(x=alt.value(0), text=alt.value(axis.limit_label))]


def runs_legend(names: list[str]) -> Legend:
    """Return a legend with a colour per run, in the order of the names."""
    return Legend("", "series", tuple(Entry(name, f"series_{at % SERIES}") for at, name in enumerate(names)))


def _scale(axis: Axis) -> alt.Scale:
    return alt.Scale(type="log") if axis.log else alt.Scale(zero=True, nice=True)


def _lines(drawn: pd.DataFrame, curves: Curves, legend: Legend) -> alt.Chart:
    x = alt.X(f"{curves.x.column}:Q", title=curves.x.title, scale=_scale(curves.x)).axis(tickCount=6, grid=False)
    y = alt.Y(f"{curves.y.column}:Q", title=curves.y.title, scale=_scale(curves.y)).axis(tickCount=6, grid=True)
    lines: alt.Chart = (
        alt.Chart(drawn)
        .mark_line(strokeWidth=1.5, opacity=0.6, aria=False)
        .encode(x=x, y=y, color=legend.colour(), order="concurrency:Q")
    )
    return lines


def _marks(drawn: pd.DataFrame, curves: Curves, legend: Legend) -> list[alt.Chart]:
    """Draw points: filled, or hollow where the level is not valid."""
    symbols = [_SYMBOLS[at % len(_SYMBOLS)] for at in range(len(legend.entries))]
    colour, is_valid = legend.colour(), drawn["verdict"] == "valid"
    shape = alt.Shape("series:N", scale=alt.Scale(domain=legend.keys, range=symbols), legend=colour["legend"])
    looks: list[tuple[pd.DataFrame, dict[str, Any]]] = [
        (drawn[is_valid], {"filled": True}),
        (drawn[~is_valid], {"filled": False, "fill": named("paper")}),
    ]
    return [
        alt.Chart(rows)
        .mark_point(size=70, strokeWidth=1.75, opacity=1, **look)
        .encode(x=f"{curves.x.column}:Q", y=f"{curves.y.column}:Q", color=colour, shape=shape, tooltip=_tooltip(curves))
        for rows, look in looks
        if len(rows)
    ]


def _tooltip(curves: Curves) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("series:N", title="run"),
        alt.Tooltip("concurrency:Q", title="concurrent users"),
        *(alt.Tooltip(f"{axis.column}:Q", title=axis.title, format=axis.format) for axis in (curves.x, curves.y)),
        alt.Tooltip("verdict:N", title="verdict"),
    ]


def _labels(drawn: pd.DataFrame, curves: Curves) -> list[alt.Chart]:
    """Label points with their concurrency: all of them on few curves, else the ends of each curve."""
    if drawn["series"].nunique() > _FEW:
        drawn = pd.concat([rows.iloc[[0, -1]] for _, rows in drawn.groupby("series")])
    base = alt.Chart(drawn).encode(x=f"{curves.x.column}:Q", y=f"{curves.y.column}:Q", text="concurrency:Q")
    style: dict[str, Any] = {"align": "left", "dx": 7, "dy": -7, "baseline": "middle", "fontSize": 11, "aria": False}
    halo = base.mark_text(**style, stroke=named("paper"), strokeWidth=3, strokeJoin="round", color=named("paper"))
    return [halo, base.mark_text(**style, color=named("faint"))]
