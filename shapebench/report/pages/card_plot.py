"""The small plot of a run on the index page: throughput per query against system throughput, as inline SVG."""

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from shapebench.report.charts.limits import query_label
from shapebench.support.wording import users

WIDTH, HEIGHT = 320, 180
LEFT, RIGHT, TOP, BOTTOM = 36, 308, 22, 140  # the frame of the axes
_X, _Y = "system_tokens_per_s", "query_tokens_per_s_mean"


@dataclass(frozen=True)
class Tick:
    """A mark on an axis, in the units of the viewBox."""

    position: float
    label: str


@dataclass(frozen=True)
class Dot:
    """A level in the plot, in the units of the viewBox."""

    x: float
    y: float
    concurrency: int
    verdict: str

    @property
    def label(self) -> str:
        return f"{self.concurrency:,} {'user' if self.concurrency == 1 else 'users'}"

    @property
    def label_y(self) -> float:
        """The baseline of the label: above the point, or below where there is no room."""
        return self.y - 7 if self.y > TOP + 12 else self.y + 16


@dataclass(frozen=True)
class CardPlot:
    """A plot of one run, ready for the template."""

    dots: tuple[Dot, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    limit_y: float
    limit_label: str
    description: str
    x_title: str = "System throughput (tokens/s)"
    y_title: str = "Tokens/s per query"
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    bottom: int = BOTTOM

    @property
    def line(self) -> str:
        return " ".join(f"{dot.x},{dot.y}" for dot in self.dots if dot.verdict != "invalid")

    @property
    def ends(self) -> tuple[Dot, ...]:
        return (self.dots[0], self.dots[-1]) if len(self.dots) > 1 else self.dots


def max_throughputs(levels: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float]]:
    """Return the maxima of x and y by model and workload, whose runs share their scales."""
    maxima = levels.groupby(["model", "workload"])[[_X, _Y]].max().astype(float)
    return dict(zip(maxima.index, zip(maxima[_X], maxima[_Y], strict=True), strict=True))


def card_plot(levels: pd.DataFrame, limit: float, maxima: tuple[float, float]) -> CardPlot | None:
    """Plot a run's rows of level_summary; None where no level has both throughputs."""
    drawn = levels.dropna(subset=[_X, _Y]).sort_values("concurrency")
    if drawn.empty:
        return None
    x = _Axis((maxima[0] or 1) * 1.05, LEFT, RIGHT)  # 0 where the server counted no tokens
    y = _Axis(max(maxima[1], limit) * 1.1, BOTTOM, TOP)
    dots = tuple(_dots(drawn, x, y))
    return CardPlot(dots, tuple(x.ticks()), tuple(y.ticks()), y.place(limit), query_label(limit), _describe(drawn))


@dataclass(frozen=True)
class _Axis:
    """A linear axis from 0 to `maximum`, between two places of the viewBox."""

    maximum: float
    start: float
    end: float

    def place(self, value: float) -> float:
        return round(self.start + value / self.maximum * (self.end - self.start), 1)

    def ticks(self) -> Iterator[Tick]:
        """Yield up to five round values from 0 on."""
        power = 10.0 ** math.floor(math.log10(self.maximum / 4))
        step = next(factor * power for factor in (1, 2, 5, 10) if self.maximum / (factor * power) <= 5)
        for count in range(int(self.maximum / step) + 1):
            yield Tick(self.place(count * step), f"{count * step:,.6g}")


def _dots(levels: pd.DataFrame, x: _Axis, y: _Axis) -> Iterator[Dot]:
    for row in levels.to_dict("records"):
        yield Dot(x.place(float(row[_X])), y.place(float(row[_Y])), int(row["concurrency"]), str(row["verdict"]))


def _describe(levels: pd.DataFrame) -> str:
    ends = [_describe_level(row) for row in levels.iloc[[0, -1]].to_dict("records")]
    return f"Throughput per query against system throughput, from {ends[0]} to {ends[1]}"


def _describe_level(row: dict[Hashable, Any]) -> str:
    return f"{row[_Y]:,.0f} tokens/s per query and {row[_X]:,.0f} in total with {users(row['concurrency'])}"
