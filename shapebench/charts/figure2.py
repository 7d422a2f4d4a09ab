"""The article's Figure 2: what each query gets, and how long it waits, against what the system gives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from shapebench.charts.theme import MARKS, Plot, finish, named
from shapebench.spec import Limits

_HEADROOM = 1.1  # room above the highest value for its label
_NEAR_AXIS = 0.06  # of the axis: a label below a point nearer than this would lie on the axis

Draw = Callable[[pd.DataFrame, Limits, str], alt.LayerChart]
Describe = Callable[[pd.DataFrame, Limits], str]


@dataclass(frozen=True)
class ChartEntry:
    """One plot: `draw(levels, limits, title)`, and `describe(levels, limits)` for those who cannot see it."""

    name: str  # of its files, less the ending
    title: str
    reading: str  # how to read it, in a line
    draw: Draw
    describe: Describe

    def plot(self, levels: pd.DataFrame, limits: Limits, title: str) -> Plot:
        chart = self.draw(levels, limits, title)
        return Plot(self.name, self.title, self.reading, chart, self.describe(levels, limits))


@dataclass(frozen=True)
class _Axis:
    """What is plotted against system throughput: a column, its unit, and the limit that a person sets."""

    column: str
    title: str
    unit: str
    limit: float
    limit_label: str
    suits: str  # the side of the limit that suits: "above" or "below"


def throughput_query(levels: pd.DataFrame, limits: Limits, title: str) -> alt.LayerChart:
    """Figure 2, left: what each query gets, against what the system gives."""
    points, axis = _points(levels), _query_axis(limits)
    top = _top(points, axis, axis.column)
    layers = [*_limit(axis, top), _line(points, axis, top), _marks(points, axis), *_labels(points, axis, top)]
    return finish(layers, title, f"{QUERY.title}: {QUERY.reading}")


def throughput_ttft(levels: pd.DataFrame, limits: Limits, title: str) -> alt.LayerChart:
    """Figure 2, right: the wait for the first token, against what the system gives."""
    points, axis = _points(levels), _ttft_axis(limits)
    top = _top(points, axis, axis.column, "ttft_ms_p95")
    curve = [_line(points, axis, top), *_whiskers(points, axis), _marks(points, axis)]
    return finish([*_limit(axis, top), *curve, *_labels(points, axis, top)], title, f"{TTFT.title}: {TTFT.reading}")


def describe_query(levels: pd.DataFrame, limits: Limits) -> str:
    return _description(_points(levels), _query_axis(limits))


def describe_ttft(levels: pd.DataFrame, limits: Limits) -> str:
    return _description(_points(levels), _ttft_axis(limits))


QUERY = ChartEntry(
    "throughput-query",
    "Throughput of each query",
    "one point for each number of concurrent users",
    throughput_query,
    describe_query,
)
TTFT = ChartEntry(
    "throughput-ttft",
    "Time to first token",
    "points are means, whiskers reach the 95th percentile",
    throughput_ttft,
    describe_ttft,
)
CHARTS = (QUERY, TTFT)


def _query_axis(limits: Limits) -> _Axis:
    label = f"at least {limits.query_tokens_per_s:g} tokens/s"
    title = "Throughput of each query (tokens/s)"
    return _Axis("query_tokens_per_s_mean", title, "tokens/s", limits.query_tokens_per_s, label, "above")


def _ttft_axis(limits: Limits) -> _Axis:
    limit_ms = limits.ttft_s * 1000
    return _Axis("ttft_ms_mean", "Time to first token (ms)", "ms", limit_ms, f"at most {limit_ms:g} ms", "below")


def _points(levels: pd.DataFrame) -> pd.DataFrame:
    """The levels in order of concurrency, times in milliseconds; numbers that were not measured are NaN."""
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


def _top(points: pd.DataFrame, axis: _Axis, *columns: str) -> float:
    return float(max([axis.limit, *_drawable(points, axis.column)[[*columns]].max().dropna()])) * _HEADROOM


def _x(points: pd.DataFrame, axis: _Axis) -> alt.X:
    drawn = _drawable(points, axis.column)["system_tokens_per_s"]
    scale = alt.Scale(domain=[0, float(drawn.max()) * 1.05 if len(drawn) else 1], nice=True)
    return alt.X("system_tokens_per_s:Q", title="System throughput (tokens/s)", scale=scale).axis(
        tickCount=6, grid=False
    )


def _limit(axis: _Axis, top: float) -> list[alt.Chart]:
    """A rule at the limit, its label, and a shade over the side that does not suit."""
    base = alt.Chart(alt.InlineData(values=[{}])).encode(y=alt.datum(axis.limit))
    far_side = {"above": "height", "below": "0"}[axis.suits]
    lift = -4 if axis.limit > _NEAR_AXIS * top else -12  # over the labels of points near the axis
    shade = base.mark_rect(color=named("limit"), opacity=0.08, aria=False)
    rule = base.mark_rule(color=named("limit"), strokeDash=[5, 4], aria=False)
    label = base.mark_text(color=named("limit"), align="left", baseline="bottom", dx=5, dy=lift)
    return [
        shade.encode(y2=alt.value(named(far_side))),
        rule,
        label.encode(x=alt.value(0), text=alt.value(axis.limit_label)),
    ]


def _line(points: pd.DataFrame, axis: _Axis, top: float) -> alt.Chart:
    y = alt.Y(f"{axis.column}:Q", title=axis.title, scale=alt.Scale(domain=[0, top], nice=True))
    line = alt.Chart(_drawable(points, axis.column)).mark_line(
        color=named("valid"), strokeWidth=1.5, opacity=0.55, aria=False
    )
    drawn: alt.Chart = line.encode(x=_x(points, axis), y=y.axis(tickCount=6, grid=True), order="concurrency:O")
    return drawn


def _whiskers(points: pd.DataFrame, axis: _Axis) -> list[alt.Chart]:
    base = alt.Chart(_drawable(points, axis.column, "ttft_ms_p95")).encode(x="system_tokens_per_s:Q")
    stem = base.mark_rule(color=named("faint"), aria=False).encode(y=f"{axis.column}:Q", y2="ttft_ms_p95:Q")
    cap = base.mark_tick(color=named("faint"), orient="horizontal", size=9, thickness=1.5, aria=False)
    return [stem, cap.encode(y="ttft_ms_p95:Q")]


def _marks(points: pd.DataFrame, axis: _Axis) -> alt.Chart:
    """The points: filled where the level is valid, hollow where it is suspect, a crossed box where it is invalid."""
    drawn = _drawable(points, axis.column)
    present = [verdict for verdict in MARKS if verdict in set(drawn["verdict"])]
    legend = alt.Legend(title=None, orient="bottom", symbolSize=90) if present not in ([], ["valid"]) else None
    shapes, fills = [MARKS[v][0] for v in present], [named(MARKS[v][1]) for v in present]
    by_verdict: dict[str, Any] = {"field": "verdict", "type": "nominal", "legend": legend}
    marks: alt.Chart = (
        alt.Chart(drawn)
        .mark_point(size=80, strokeWidth=1.75, opacity=1)
        .encode(
            x="system_tokens_per_s:Q",
            y=f"{axis.column}:Q",
            shape=alt.Shape(**by_verdict, scale=alt.Scale(domain=present, range=shapes)),
            fill=alt.Fill(**by_verdict, scale=alt.Scale(domain=present, range=fills)),
            stroke=alt.Stroke(**by_verdict, scale=alt.Scale(domain=present, range=[named(v) for v in present])),
            tooltip=_tooltip(),
        )
    )
    return marks


def _tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("concurrency:Q", title="concurrent users"),
        alt.Tooltip("system_tokens_per_s:Q", title="system, tokens/s", format=",.1f"),
        alt.Tooltip("query_tokens_per_s_mean:Q", title="each query, tokens/s", format=",.1f"),
        alt.Tooltip("ttft_ms_mean:Q", title="TTFT mean, ms", format=",.1f"),
        alt.Tooltip("ttft_ms_p95:Q", title="TTFT p95, ms", format=",.1f"),
        alt.Tooltip("verdict:N", title="verdict"),
    ]


def _labels(points: pd.DataFrame, axis: _Axis, top: float) -> list[alt.Chart]:
    """Each point's concurrency beside it, on a halo that keeps it readable where the line passes."""
    base = alt.Chart(_placed(_drawable(points, axis.column), axis, top)).encode(
        x="system_tokens_per_s:Q", y=f"{axis.column}:Q", text="concurrency:Q"
    )
    place = {name: alt.ExprRef(expr=f"datum.{name}") for name in ("align", "dx", "dy")}
    style: dict[str, Any] = {**place, "baseline": "middle", "fontSize": 12, "aria": False}
    halo = base.mark_text(**style, stroke=named("paper"), strokeWidth=3, strokeJoin="round", color=named("paper"))
    return [halo, base.mark_text(**style, color=named("ink"), fontWeight="bold")]


def _placed(points: pd.DataFrame, axis: _Axis, top: float) -> pd.DataFrame:
    """Where each label stands: off the curve, left of the point where throughput fell back, and above the axis."""
    falls_back = points["system_tokens_per_s"].diff() < 0
    below = (axis.suits == "below") & (points[axis.column] > _NEAR_AXIS * top)
    return points.assign(
        align=falls_back.map({True: "right", False: "left"}),
        dx=falls_back.map({True: -7, False: 7}),
        dy=below.map({True: 9, False: -8}),
    )


def _description(points: pd.DataFrame, axis: _Axis) -> str:
    drawn = _drawable(points, axis.column)
    if drawn.empty:
        return f"{axis.title} against system throughput: no level has numbers to draw."
    ends = [_at(row, axis) for row in drawn.iloc[[0, -1]].to_dict("records")]
    path = f"from {ends[0]} to {ends[1]}" if len(drawn) > 1 else ends[0]
    return f"{axis.title} against system throughput: {path}. The limit, {axis.limit_label}, is drawn as a line."


def _at(row: dict[Any, Any], axis: _Axis) -> str:
    value, system = row[axis.column], row["system_tokens_per_s"]
    return f"{value:,.0f} {axis.unit} with {system:,.0f} tokens/s in total at concurrency {row['concurrency']}"
