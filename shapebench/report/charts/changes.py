"""The change of a metric from one run to another at each level, with its 95% interval."""

import altair as alt
import pandas as pd

from shapebench.report.charts.theme import Plot, finish, named

_COLOURS = {"better": "series_2", "worse": "suspect", "same": "valid", "inconclusive": "faint"}
_MIN_REACH = 0.1  # of the axis, as a share, so that small changes look small


def plot_change(rows: pd.DataFrame, name: str, title: str, min_effect: float) -> Plot:
    """Plot the change of one metric by level.

    `rows` have a `verdict` for each level, and `change`, `change_low` and `change_high` as shares.
    """
    drawn = rows.assign(level=rows["concurrency"].astype(int).astype(str)).sort_values("concurrency")
    reach = max([_MIN_REACH, *drawn[["change_low", "change_high"]].abs().max()]) * 1.1
    layers = [_band(min_effect), _zero(), *_intervals(drawn, reach)]
    reading = f"lines are 95% intervals; changes within the shaded ±{min_effect:.0%} are negligible"
    return Plot(
        name,
        title,
        reading,
        finish(layers, title, "change from the first run to the second"),
        _description(title, drawn),
    )


def _band(min_effect: float) -> alt.Chart:
    ends = alt.Chart(pd.DataFrame([{"low": -min_effect, "high": min_effect}]))
    band: alt.Chart = ends.mark_rect(color=named("faint"), opacity=0.13, aria=False).encode(x="low:Q", x2="high:Q")
    return band


def _zero() -> alt.Chart:
    line: alt.Chart = (
        alt.Chart(alt.InlineData(values=[{}])).mark_rule(color=named("faint"), aria=False).encode(x=alt.datum(0))
    )
    return line


def _intervals(drawn: pd.DataFrame, reach: float) -> list[alt.Chart]:
    present = [verdict for verdict in _COLOURS if verdict in set(drawn["verdict"])]
    scale = alt.Scale(domain=present, range=[named(_COLOURS[verdict]) for verdict in present])
    legend = alt.Legend(title=None, orient="bottom", symbolSize=90)
    base = alt.Chart(drawn).encode(
        y=alt.Y("level:O", sort=list(drawn["level"]), title="Concurrent users").axis(grid=True),
        color=alt.Color("verdict:N", scale=scale, legend=legend),
    )
    x = alt.Scale(domain=[-reach, reach], nice=False)
    axis = alt.Axis(format="+.0%", tickCount=6, grid=False)
    stem = base.mark_rule(strokeWidth=2, aria=False).encode(
        x=alt.X("change_low:Q", scale=x, title="Change", axis=axis), x2="change_high:Q"
    )
    tooltip = [
        alt.Tooltip("concurrency:Q", title="concurrent users"),
        alt.Tooltip("before:Q", format=",.4g"),
        alt.Tooltip("after:Q", format=",.4g"),
        alt.Tooltip("change:Q", format="+.1%"),
        alt.Tooltip("change_low:Q", title="95% interval from", format="+.1%"),
        alt.Tooltip("change_high:Q", title="to", format="+.1%"),
        alt.Tooltip("verdict:N"),
    ]
    dot = base.mark_point(filled=True, size=90, opacity=1).encode(x="change:Q", tooltip=tooltip)
    return [stem, dot]


def _description(title: str, drawn: pd.DataFrame) -> str:
    if drawn.empty:
        return f"{title}: no level has an interval in both runs."
    levels = [f"{row['change']:+.1%} at {row['level']} ({row['verdict']})" for row in drawn.to_dict("records")]
    return f"{title}, change by level: {', '.join(levels)}."
