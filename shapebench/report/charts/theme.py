"""Colours, fonts, axes, legends and marks that all plots share."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import altair as alt
import numpy as np
import pandas as pd

# The charts name their colours, so that a page can change them while it is open. The hues are close to Okabe and Ito's,
# which colour-blind people tell apart, with enough contrast for small marks; the points' shapes say the same.
# What has an order, as levels and percentiles have, takes the steps: hues of a lightness that only goes one way.
PALETTES: dict[str, dict[str, str]] = {
    "light": {
        "paper": "#ffffff",
        "ink": "#1b1f24",
        "faint": "#57606a",
        "grid": "#e4e7eb",
        "valid": "#0072b2",
        "suspect": "#b85000",
        "invalid": "#8a3a72",
        "limit": "#946200",
        "series_0": "#0072b2",
        "series_1": "#b85000",
        "series_2": "#007a5a",
        "series_3": "#a8407f",
        "series_4": "#8a6a00",
        "series_5": "#57606a",
        "step_0": "#0aa4ab",
        "step_1": "#0096b0",
        "step_2": "#1186b3",
        "step_3": "#0475c0",
        "step_4": "#3861bb",
        "step_5": "#4e4dae",
        "step_6": "#5b3a9a",
        "step_7": "#622782",
        "step_8": "#651367",
        "step_9": "#610248",
        "step_10": "#57002b",
        "step_11": "#4a0013",
    },
    "dark": {
        "paper": "#15191e",
        "ink": "#e8ebee",
        "faint": "#a3adb8",
        "grid": "#2c333b",
        "valid": "#56b4e9",
        "suspect": "#f09a3e",
        "invalid": "#e08fc4",
        "limit": "#e5b73b",
        "series_0": "#56b4e9",
        "series_1": "#f09a3e",
        "series_2": "#3fc79a",
        "series_3": "#e08fc4",
        "series_4": "#d9c74a",
        "series_5": "#a3adb8",
        "step_0": "#118186",
        "step_1": "#138aa1",
        "step_2": "#0692c4",
        "step_3": "#3396e6",
        "step_4": "#6a97f7",
        "step_5": "#949afe",
        "step_6": "#b89dff",
        "step_7": "#d99fff",
        "step_8": "#f9a2f8",
        "step_9": "#feb9e2",
        "step_10": "#fdcedb",
        "step_11": "#ffdfe0",
    },
}
STEPS, SERIES = 12, 6

CROSSED_BOX = "M-1,-1H1V1H-1ZM-1,-1L1,1M1,-1L-1,1"
MARKS = {  # verdict: shape, fill
    "valid": ("circle", "valid"),
    "suspect": ("circle", "paper"),
    "invalid": (CROSSED_BOX, "paper"),
}
LONGEST_TITLE = 200  # characters; what is too wide is cut at the plot's edge, but only after it was measured, slowly
MAX_LEVELS = 16  # with a curve each
WIDTH, HEIGHT = 460, 300
ABOVE_PLOT = -7  # px, where a label of a rule across the plot meets nothing
HEADROOM = 1.1  # room above the highest value, for its label

Scale = Literal["linear", "log"]


@dataclass(frozen=True)
class Entry:
    """A line of a legend: its key in the data, and its colour; hollow where its verdict is not valid."""

    key: str
    colour: str
    verdict: str = "valid"


@dataclass(frozen=True)
class Legend:
    """The colours of a plot: drawn as a legend in pictures, shown as filter buttons on a page."""

    title: str
    field: str
    entries: tuple[Entry, ...]

    @property
    def keys(self) -> list[str]:
        return [entry.key for entry in self.entries]

    @property
    def is_chosen(self) -> str:
        """Return the filter for `transform_filter` that keeps chosen rows, or all where nothing is chosen."""
        return f"!length({CHOSEN}) || indexof({CHOSEN}, datum.{self.field}) >= 0"

    def colour(self) -> alt.Color:
        scale = alt.Scale(domain=self.keys, range=[named(entry.colour) for entry in self.entries])
        columns = max(1, int(WIDTH / (40 + 7 * max(map(len, self.keys), default=0))))
        drawn = alt.Legend(
            title=self.title, orient="bottom", columns=columns, symbolSize=90, symbolOpacity=1, labelLimit=300
        )
        return alt.Color(f"{self.field}:N", scale=scale, legend=drawn)


CHOSEN = "chosen"  # the signal that holds the keys chosen in a legend
ON_PAGE = "on_page"  # the signal that is true on a page, where a plot can show tooltips


@dataclass(frozen=True)
class Plot:
    """A chart with its title and texts on a page."""

    name: str  # of its files, less the ending
    title: str
    reading: str  # how to read it, in one line
    chart: alt.LayerChart | alt.VConcatChart
    description: str  # the text alternative
    legend: Legend | None = None  # its filters


def named(colour: str) -> alt.ExprRef:
    """Refer to a colour of the palettes by its name."""
    return alt.ExprRef(expr=colour)


def step(place: int, of: int) -> str:
    """Return the colour of one of `of` ordered things."""
    return f"step_{round(place * (STEPS - 1) / max(of - 1, 1))}"


def verdicts(present: Iterable[str]) -> Legend | None:
    """Return the legend of the points' marks, where some are not valid."""
    some = [verdict for verdict in MARKS if verdict in {*present}]
    return Legend("Measurement", "verdict", tuple(Entry(v, v, v) for v in some)) if {*some} - {"valid"} else None


def by_verdict(drawn: pd.DataFrame, x: str, y: str, tooltip: list[alt.Tooltip]) -> alt.Chart:
    """Draw points: filled where the level is valid, hollow where it is suspect, a crossed box where it is invalid."""
    present = [verdict for verdict in MARKS if verdict in set(drawn["verdict"])]
    legend = alt.Legend(title=None, orient="bottom", symbolSize=90) if present not in ([], ["valid"]) else None
    shapes, fills = [MARKS[v][0] for v in present], [named(MARKS[v][1]) for v in present]
    of_verdict: dict[str, Any] = {"field": "verdict", "type": "nominal", "legend": legend}
    points: alt.Chart = (
        alt.Chart(drawn)
        .mark_point(size=80, strokeWidth=1.75, opacity=1)
        .encode(
            x=alt.X(x),
            y=alt.Y(y),
            shape=alt.Shape(**of_verdict, scale=alt.Scale(domain=present, range=shapes)),
            fill=alt.Fill(**of_verdict, scale=alt.Scale(domain=present, range=fills)),
            stroke=alt.Stroke(**of_verdict, scale=alt.Scale(domain=present, range=[named(v) for v in present])),
            tooltip=tooltip,
        )
    )
    return points


def spread(levels: pd.DataFrame) -> pd.DataFrame:
    """Choose up to MAX_LEVELS levels: the lowest, the highest, and some between."""
    ordered = levels.sort_values("concurrency")
    places = np.linspace(0, len(ordered) - 1, min(len(ordered), MAX_LEVELS)).round().astype(int)
    return ordered.iloc[places]


def hollow(levels: pd.DataFrame) -> str:
    """Explain the marks of levels that are not valid; empty where all are valid."""
    is_drawn = {"suspect": "hollow points are suspect", "invalid": "crossed boxes invalid"}
    texts = [words for verdict, words in is_drawn.items() if verdict in set(levels["verdict"])]
    return f"; {', '.join(texts)}" if texts else ""


def reach(scale: Scale, *values: "pd.Series[float]") -> tuple[float, float]:
    """Return the ends of an axis with room for labels: from 0, or from below the minimum if logarithmic."""
    some = pd.concat([value.dropna().astype(float) for value in values])
    some = some[some > 0]
    if some.empty:
        return (0.0, 1.0) if scale == "linear" else (1.0, 10.0)
    return (0.0, some.max() * HEADROOM) if scale == "linear" else (some.min() / 1.3, some.max() * 1.3)


def scaled(scale: Scale, ends: tuple[float, float]) -> alt.Scale:
    """Return a scale with exactly these ends."""
    return alt.Scale(type=scale, domain=list(ends), nice=False, clamp=scale == "log")


def ticks(scale: Scale, ends: tuple[float, float]) -> alt.Axis:
    """Return an axis with a few ticks; 1, 2, 5, 10, ... if logarithmic, more where those are too few."""
    if scale == "linear":
        return alt.Axis(tickCount=6, grid=True)
    some = (inside for firsts in _FIRSTS if len(inside := _inside(ends, firsts)) >= 3)
    placed: dict[str, Any] = {"values": values} if (values := next(some, None)) else {"tickCount": 6}
    return alt.Axis(**placed, format=",~r", grid=True, labelOverlap="greedy", labelSeparation=6)


_FIRSTS = ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7))


def _inside(ends: tuple[float, float], firsts: tuple[float, ...]) -> list[float]:
    """List the round numbers between the ends that start with these digits."""
    powers = range(math.floor(math.log10(ends[0])) - 1, math.ceil(math.log10(ends[1])) + 1)
    values = (float(f"{first * 10.0**power:.6g}") for power in powers for first in firsts)
    return [value for value in values if ends[0] <= value <= ends[1]]


def finish(layers: Sequence[alt.Chart | alt.LayerChart], title: str, subtitle: str) -> alt.LayerChart:
    """Combine layers into a chart with title and style."""
    return _styled(alt.LayerChart(layer=[*layers], width=WIDTH, height=HEIGHT), title, subtitle)


def finish_strips(strips: Sequence[alt.LayerChart], title: str, subtitle: str) -> alt.VConcatChart:
    """Stack plots that share their x axis into a chart with title and style."""
    chart = alt.vconcat(*strips, spacing=14, resolve=alt.Resolve(scale={"x": "shared", "color": "shared"}))
    return _styled(chart, title, subtitle, axisY={"minExtent": 46, "maxExtent": 46})


Finished = TypeVar("Finished", alt.LayerChart, alt.VConcatChart)


def _styled(chart: Finished, title: str, subtitle: str, **config: Any) -> Finished:
    """Set title and style in place; altair's own methods would copy the chart with its data."""
    chart.title = alt.TitleParams(
        text=printable(title)[:LONGEST_TITLE], subtitle=subtitle, anchor="start", limit=WIDTH, offset=12
    )
    chart.padding = 12
    chart.background = named("paper")
    chart.params = [*_SIGNALS]
    chart.config = {**_CONFIG, **config}
    return chart


def printable(text: str) -> str:
    """Replace unprintable characters, which XML does not allow, by spaces."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


_SIGNALS: list[Any] = [
    alt.param(name=name, value=value).param for name, value in {**PALETTES["light"], CHOSEN: [], ON_PAGE: False}.items()
]
_INK, _FAINT, _GRID = ({"expr": colour} for colour in ("ink", "faint", "grid"))
_CONFIG = {
    "font": "Helvetica, Arial, sans-serif",
    "view": {"stroke": None},
    "title": {"color": _INK, "subtitleColor": _FAINT, "fontSize": 14, "subtitleFontSize": 12},
    "legend": {"labelColor": _INK, "titleColor": _FAINT, "labelFontSize": 12, "titleFontWeight": "normal"},
    "axis": {
        "labelColor": _FAINT,
        "titleColor": _INK,
        "gridColor": _GRID,
        "domainColor": _FAINT,
        "tickColor": _FAINT,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
    },
}
