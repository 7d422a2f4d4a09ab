"""The Pareto front of throughput per query against cost, over all levels of all runs."""

import altair as alt
import pandas as pd

from shapebench.analysis.comparison.ranking import on_the_front
from shapebench.report.charts.curves import Axis, Curves
from shapebench.report.charts.theme import Plot, named


def plot_front(points: pd.DataFrame, x: Axis, y: Axis) -> Plot:
    """Plot `points` as `Curves` does, with the front for higher x and lower y."""
    curves = Curves(
        "pareto",
        "Cost vs. speed",
        "on the dark line (Pareto front), no other level of any run is both faster and cheaper",
        x,
        y,
    )
    plot = curves.plot(points, "one curve per run, one point per concurrency level")
    usable = points[points["verdict"] != "invalid"]
    best = usable[on_the_front(usable, x.column, y.column)]
    line = (
        alt.Chart(best)
        .mark_line(color=named("ink"), strokeWidth=2.5, opacity=0.75, interpolate="step-before", aria=False)
        .encode(x=f"{x.column}:Q", y=f"{y.column}:Q", order=f"{x.column}:Q")
    )
    plot.chart.layer.insert(0, line)
    named_best = ", ".join(f"{row['series']} at {row['concurrency']}" for row in best.to_dict("records"))
    return Plot(
        plot.name, plot.title, plot.reading, plot.chart, f"{plot.description} Pareto front: {named_best}.", plot.legend
    )
