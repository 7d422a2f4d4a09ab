"""Placement of point labels, so that none covers another label or a point or leaves the plot."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import altair as alt
import pandas as pd

from shapebench.report.charts.theme import HEIGHT, Scale, named

# A plot is at least this wide on a phone. Where it is wider, points and labels only move apart.
NARROWEST = 240
FONT_SIZE = 12
_POINT, _LETTER, _LINE = 6, 7.0, 13  # half a point's size, a digit's width, a line's height

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Place:
    """The position of a label relative to its point (px)."""

    align: str
    dx: float
    dy: float

    def box(self, x: float, y: float, text: str) -> Box:
        width = _LETTER * len(text) + 2
        left = x + self.dx - {"left": 0, "center": width / 2, "right": width}[self.align]
        return left, y + self.dy - _LINE / 2, left + width, y + self.dy + _LINE / 2


def _places(rows: Iterable[float]) -> list[Place]:
    return [Place(align, dx, dy) for dy in rows for align, dx in (("left", 7), ("right", -7), ("center", 0))]


_SIDES = [Place("left", 9, 0), Place("right", -9, 0)]
_FAR = [-21, 22, -33, 34, -45, 46]
ABOVE = [*_places([-9]), *_places([10]), *_SIDES, *_places(_FAR)]
BELOW = [*_places([10]), *_places([-9]), *_SIDES, *_places([22, -21, 34, -33, 46, -45])]
NEAR = [*BELOW[:8], *_places([-23])]


@dataclass(frozen=True)
class Frame:
    """The ranges and scales of the plot's axes."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"

    def position(self, x: float, y: float) -> tuple[float, float]:
        """Return the distance from the left and from the top (px)."""
        return NARROWEST * _share(x, self.x, self.x_scale), HEIGHT * (1 - _share(y, self.y, self.y_scale))

    def text_above(self, y: float, text: str) -> Box:
        """Return the box of a text above the left end of a horizontal line."""
        line = HEIGHT * (1 - _share(y, self.y, self.y_scale))
        return 0, line - 4 - _LINE, 6.2 * len(text), line


def _share(value: float, ends: tuple[float, float], scale: Scale) -> float:
    low, high, value = (math.log(v) for v in (*ends, value)) if scale == "log" else (*ends, value)
    return (value - low) / (high - low)


def place_labels(
    points: Sequence[tuple[float, float]], texts: Sequence[str], prefer: Sequence[Place], taken: Iterable[Box] = ()
) -> list[Place | None]:
    """Find a place for each label: the first free one of the preferred places, or None."""
    taken = [*taken, *((x - _POINT, y - _POINT, x + _POINT, y + _POINT) for x, y in points)]
    places: list[Place | None] = []
    for (x, y), text in zip(points, texts, strict=True):
        place = next((candidate for candidate in prefer if _fits(candidate.box(x, y, text), taken)), None)
        places.append(place)
        taken += [place.box(x, y, text)] if place else []
    return places


def _fits(box: Box, taken: list[Box]) -> bool:
    inside = box[0] >= 2 and box[1] >= 0 and box[3] <= HEIGHT - 2
    return inside and not any(_overlap(box, other) for other in taken)


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def labels(
    drawn: pd.DataFrame, columns: tuple[str, str], frame: Frame, prefer: Sequence[Place], taken: Iterable[Box] = ()
) -> list[alt.Chart]:
    """Draw each point's concurrency next to it where there is room, on a halo over the lines.

    `columns` are those of x and y, `taken` the boxes of other texts.
    """
    x, y = columns
    points = [frame.position(row[x], row[y]) for row in drawn.to_dict("records")]
    places = place_labels(points, [str(concurrency) for concurrency in drawn["concurrency"]], prefer, taken)
    rows = [
        {x: row[x], y: row[y], "concurrency": row["concurrency"], "verdict": row["verdict"], **asdict(place)}
        for row, place in zip(drawn.to_dict("records"), places, strict=True)
        if place
    ]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X(f"{x}:Q"), y=alt.Y(f"{y}:Q"), text=alt.Text("concurrency:Q")
    )
    from_data = {name: alt.ExprRef(expr=f"datum.{name}") for name in ("align", "dx", "dy")}
    style: dict[str, Any] = {**from_data, "baseline": "middle", "fontSize": FONT_SIZE, "aria": False}
    halo = base.mark_text(**style, stroke=named("paper"), strokeWidth=3, strokeJoin="round", color=named("paper"))
    return [halo, base.mark_text(**style, color=named("ink"), fontWeight="bold")]
