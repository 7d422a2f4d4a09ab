"""The share of failed requests at each level, by kind of error."""

from collections.abc import Hashable
from typing import Any

import altair as alt
import pandas as pd

from shapebench.report.charts.theme import HEADROOM, SERIES, WIDTH, Entry, Legend, Plot, finish, named

TITLE = "Failed requests by kind"
OTHERS = "other kinds"
LONGEST_KIND = 40  # characters; a kind from another tool can have any length
_ROW_HEIGHT = 34


def plots(errors: pd.DataFrame, levels: pd.DataFrame, title: str) -> list[Plot]:
    """Plot failed requests: `errors` has a row per `concurrency` and `kind` with the number of `requests`."""
    if errors.empty:
        return []
    bars = _bars(errors, levels)
    kinds = [*bars.groupby("kind")["requests"].sum().sort_values(ascending=False).index]
    bars = bars.assign(place=bars["kind"].map(kinds.index))
    legend = Legend("Kind", "kind", tuple(Entry(kind, f"series_{at}") for at, kind in enumerate(kinds)))
    chart = finish([layer.transform_filter(legend.is_chosen) for layer in _layers(bars, levels, legend)], title, TITLE)
    shares = bars.groupby("concurrency")["share"].sum().reset_index().to_dict("records")
    description = f"{TITLE}: {', '.join(map(_share, shares))}."
    return [
        Plot("errors", TITLE, "share of the requests of each level", _fit_height(chart, levels), description, legend)
    ]


def _fit_height(chart: alt.LayerChart, levels: pd.DataFrame) -> alt.LayerChart:
    resized: alt.LayerChart = chart.properties(height=_ROW_HEIGHT * max(len(levels), 1), width=WIDTH)
    return resized


def _bars(errors: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """Return the shares of the most frequent kinds, one per colour, with all others in one."""
    kinds = errors["kind"].str.slice(0, LONGEST_KIND)
    frequent = errors.groupby(kinds)["requests"].sum().nlargest(SERIES).index
    kept = frequent if kinds.nunique() <= SERIES else frequent[: SERIES - 1]
    each = errors.assign(kind=kinds.where(kinds.isin(kept), OTHERS))
    summed = each.groupby(["concurrency", "kind"], as_index=False)["requests"].sum()
    total = levels.set_index("concurrency")[["completed", "failed"]].sum(axis="columns")
    joined = summed.merge(total.rename("total"), left_on="concurrency", right_index=True)
    verdicts = levels.set_index("concurrency")["verdict"]
    share = joined["requests"] / joined["total"].where(joined["total"] > 0)
    bars: pd.DataFrame = joined.assign(share=share.fillna(0.0), verdict=joined["concurrency"].map(verdicts))
    return bars


def _layers(bars: pd.DataFrame, levels: pd.DataFrame, legend: Legend) -> list[alt.Chart]:
    order = sorted(levels["concurrency"].tolist())
    y = alt.Y("concurrency:O", title="Concurrent users", scale=alt.Scale(domain=order), sort=order).axis(grid=False)
    most = float(bars.groupby("concurrency")["share"].sum().max())
    scale = alt.Scale(domain=[0, most * HEADROOM], nice=False)
    x = alt.X("share:Q", title="Share of requests", stack="zero", scale=scale)
    x = x.axis(format="~%", tickCount=5, grid=True)
    tooltip = [
        alt.Tooltip("concurrency:O", title="concurrent users"),
        alt.Tooltip("kind:N", title="kind"),
        alt.Tooltip("requests:Q", title="failed requests"),
        alt.Tooltip("total:Q", title="all requests"),
        alt.Tooltip("share:Q", title="share", format=".2%"),
        alt.Tooltip("verdict:N", title="verdict"),
    ]
    is_valid = bars["verdict"] == "valid"
    looks: list[tuple[pd.DataFrame, dict[str, Any]]] = [
        (bars[is_valid], {"filled": True}),
        (bars[~is_valid], {"filled": False, "fill": named("paper"), "strokeWidth": 2}),
    ]
    encoding = {"x": x, "y": y, "color": legend.colour(), "tooltip": tooltip, "order": alt.Order("place:Q")}
    return [
        alt.Chart(rows).mark_bar(height=alt.RelativeBandSize(0.6), **look).encode(**encoding)
        for rows, look in looks
        if len(rows)
    ]


def _share(row: dict[Hashable, Any]) -> str:
    return f"{row['share']:.1%} at {row['concurrency']}"
