"""Speed for each person against what the machine gives for its money: which levels of which runs nothing beats."""

import altair as alt
import pandas as pd

from shapebench.analysis.comparison.ranking import on_the_front
from shapebench.report.charts.curves import Axis, Curves
from shapebench.report.charts.theme import Plot, named


def front(points: pd.DataFrame, x: Axis, y: Axis) -> Plot:
    """`points` as for Curves; the more of x, and the less of y, the better."""
    curves = Curves(
        "pareto", "What is to be had", "on the dark line no other level of any run is both faster and cheaper", x, y
    )
    plot = curves.plot(points, "one curve for each run, one point for each concurrency")
    usable = points[points["verdict"] != "invalid"]
    best = usable[on_the_front(usable, x.column, y.column)]
    line = (
        alt.Chart(best)
        .mark_line(color=named("ink"), strokeWidth=2.5, opacity=0.75, interpolate="step-before", aria=False)
        .encode(x=f"{x.column}:Q", y=f"{y.column}:Q", order=f"{x.column}:Q")
    )
    plot.chart.layer.insert(0, line)
    named_best = ", ".join(f"{row['series']} at {row['concurrency']}" for row in best.to_dict("records"))
    return Plot(plot.name, plot.title, plot.reading, plot.chart, f"{plot.description} Best: {named_best}.", plot.legend)
