"""Throughput against concurrency, compared with linear scaling."""

from functools import partial

import altair as alt
import pandas as pd

from shapebench.report.charts.fitted import Fit
from shapebench.report.charts.labels import NEAR, Frame, labels
from shapebench.report.charts.theme import (
    ABOVE_PLOT,
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

NAMES: dict[Scale, str] = {"linear": "scaling", "log": "scaling-log"}
TITLE = "Throughput vs. linear scaling"
_BY = {
    "steady_tokens_per_s": "steady throughput",
    "system_tokens_per_s": "overall throughput",
}
_X, _Y = "concurrency", "tokens_per_s"


def plots(scaling: pd.DataFrame, title: str, fit: Fit | None = None) -> list[Plot]:
    """Plot rows of the view `scaling` over linear and over logarithmic axes; no plot of fewer than two levels."""
    points = scaling.dropna(subset=[_Y]).sort_values(_X)
    if len(points) < 2:
        return []
    throughput = _BY[points["throughput"].iloc[0]]
    reading = f"{throughput}; the dotted line is linear scaling from the lowest level"
    reading += "; the curve is fitted, with its 95% band" if fit else ""
    drawn = partial(_chart, points, fit, title, f"{TITLE}: {throughput}")
    legend, description = verdicts(points["verdict"]), _description(points, fit)
    return [Plot(name, TITLE, reading, drawn(scale), description, legend) for scale, name in NAMES.items()]


def _chart(points: pd.DataFrame, fit: Fit | None, title: str, subtitle: str, scale: Scale) -> alt.LayerChart:
    ideal = points[[_X, "ideal_tokens_per_s"]].rename(columns={"ideal_tokens_per_s": _Y})
    frame = Frame(reach(scale, points[_X]), reach(scale, points[_Y], ideal[_Y]), scale, scale)
    curve = [*([] if fit else [_line(points)]), by_verdict(points, f"{_X}:Q", f"{_Y}:Q", _tooltip())]
    curve += labels(points, (_X, _Y), frame, NEAR)
    if legend := verdicts(points["verdict"]):
        curve = [layer.transform_filter(legend.is_chosen) for layer in curve]
    return finish([*_ideal(ideal, frame), *_fitted(fit), *_bend(points, fit), *curve], title, subtitle)


def _ideal(ideal: pd.DataFrame, frame: Frame) -> list[alt.Chart]:
    x = alt.X(f"{_X}:Q", title="Concurrent users", scale=scaled(frame.x_scale, frame.x), axis=_levels(ideal, frame))
    y = alt.Y(f"{_Y}:Q", title="Throughput (tokens/s)", scale=scaled(frame.y_scale, frame.y))
    line = alt.Chart(ideal).mark_line(color=named("faint"), strokeDash=[2, 3], strokeWidth=1.5, aria=False)
    end = alt.Chart(ideal.tail(1)).mark_text(
        color=named("faint"), text="linear", align="right", dx=-12, fontSize=12, aria=False
    )
    axis = ticks(frame.y_scale, frame.y)
    return [line.encode(x=x, y=y.axis(axis)), end.encode(x=alt.X(f"{_X}:Q"), y=alt.Y(f"{_Y}:Q"))]


def _levels(points: pd.DataFrame, frame: Frame) -> alt.Axis:
    """Put ticks at the levels on a logarithmic axis."""
    if frame.x_scale == "linear":
        return alt.Axis(tickCount=6, grid=False, format=",d")
    return alt.Axis(values=points[_X].tolist(), grid=False, format=",d", labelOverlap=True)


def _line(points: pd.DataFrame) -> alt.Chart:
    line = alt.Chart(points).mark_line(color=named("valid"), strokeWidth=1.5, opacity=0.55, aria=False)
    encoded: alt.Chart = line.encode(x=alt.X(f"{_X}:Q"), y=alt.Y(f"{_Y}:Q"), order=alt.Order(f"{_X}:Q"))
    return encoded


def _fitted(fit: Fit | None) -> list[alt.Chart]:
    if fit is None:
        return []
    base = alt.Chart(fit.curve).encode(x=alt.X(f"{_X}:Q"))
    band = base.mark_area(color=named("series_2"), opacity=0.15, aria=False).encode(
        y=alt.Y("low:Q"), y2=alt.Y2("high:Q")
    )
    line = base.mark_line(color=named("series_2"), strokeWidth=1.5, aria=False).encode(y=alt.Y(f"{_Y}:Q"))
    return [band, line]


def _bend(points: pd.DataFrame, fit: Fit | None) -> list[alt.Chart]:
    """Draw a line at the knee."""
    at = _knee(points, fit)
    if at is None:
        return []
    base = alt.Chart(alt.InlineData(values=[{}])).encode(x=alt.datum(at))
    rule = base.mark_rule(color=named("limit"), strokeDash=[5, 4], aria=False)
    label = base.mark_text(color=named("limit"), fontSize=12, aria=False)
    text = alt.value(f"saturates at {at:,}")
    return [rule, label.encode(y=alt.value(ABOVE_PLOT), text=text)]


def _knee(points: pd.DataFrame, fit: Fit | None) -> int | None:
    """Return the knee as the results file has it, else that of the fit: runs of earlier versions have none stored."""
    stored = points.loc[points["is_knee"].eq(True), _X]
    return int(stored.iloc[0]) if len(stored) else fit.knee if fit else None


def _tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("concurrency:Q", title="concurrent users"),
        alt.Tooltip("tokens_per_s:Q", title="tokens/s", format=",.1f"),
        alt.Tooltip("ideal_tokens_per_s:Q", title="linear scaling, tokens/s", format=",.1f"),
        alt.Tooltip("efficiency:Q", title="scaling efficiency", format=".0%"),
        alt.Tooltip("verdict:N", title="verdict"),
    ]


def sentences(scaling: pd.DataFrame, fit: Fit | None = None) -> list[str]:
    """Describe scaling efficiency and saturation, one sentence each."""
    points = scaling.dropna(subset=[_Y]).sort_values(_X)
    if len(points) < 2:
        return []
    last, knee = points.iloc[-1], _knee(points, fit)
    efficiency = f"Scaling efficiency is {last['efficiency']:.0%} with {last[_X]} concurrent users."
    if fit:
        return [efficiency, *fit.sentences]
    if knee is not None:
        return [efficiency, f"Throughput saturates at about {knee} concurrent users."]
    grows = "Throughput still grows at the highest level measured."
    return [efficiency, grows] if points["is_knee"].notna().all() else [efficiency]


def _description(points: pd.DataFrame, fit: Fit | None) -> str:
    shares = [f"{row['efficiency']:.0%} at {row['concurrency']}" for row in points.to_dict("records")]
    knee = _knee(points, fit)
    ends = f" Throughput saturates at {knee} concurrent users." if knee is not None else ""
    return f"{TITLE}; scaling efficiency: {', '.join(shares)}.{ends}"
