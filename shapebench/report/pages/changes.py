"""The page that compares two runs of one machine and model, before and after a change."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from shapebench.analysis.comparison.changes import MIN_EFFECT, Changes, settings_that_differ
from shapebench.analysis.comparison.labels import labels
from shapebench.analysis.wording import METRICS, quantity
from shapebench.report.charts.changes import plot_change
from shapebench.report.charts.curves import Axis, Curves
from shapebench.report.charts.limits import query_label, ttft_label
from shapebench.report.charts.theme import Plot
from shapebench.report.pages.columns import ABSENT, format_text, is_absent
from shapebench.report.pages.kit import write_page
from shapebench.results.views import RunRow
from shapebench.spec.metric_definitions import TOTAL
from shapebench.spec.model import Limits
from shapebench.support.redact import redact

_PLOTS = {
    "ttft_s": ("change-ttft", "Mean time to first token"),
    "steady_tokens_per_s": ("change-throughput", "Throughput"),
}
COLUMNS = (
    *("Concurrent users", "Metric", "Stat", "Before", "After", "Change"),
    *("95% interval from", "to", "Verdict, uncorrected"),
)


@dataclass(frozen=True)
class ChangesPage:
    """The content of the page: both runs, their rows of level_summary, and the rows of compare_runs."""

    runs: list[RunRow]
    levels: pd.DataFrame
    differences: pd.DataFrame
    changes: Changes

    @property
    def title(self) -> str:
        return f"Changes of {self.runs[1]['model']} on {self.runs[1]['shape']}"


def write(content: ChangesPage, folder: Path) -> Path:
    """Write the page and its pictures; returns `folder/index.html`."""
    changed, curves = _change_plots(content.changes), _curves(content)
    return write_page(
        "changes.html.j2",
        [*changed, *curves],
        folder,
        title=content.title,
        runs=[{**run, "url": redact(run["url"])} for run in content.runs],
        changes=content.changes,
        split=len(changed),
        settings=settings_that_differ(*content.runs),
        columns=COLUMNS,
        rows=[_cells(row) for row in content.differences.to_dict("records")],
    )


def _change_plots(changes: Changes) -> list[Plot]:
    return [
        plot_change(rows, *_PLOTS[str(metric)], MIN_EFFECT)
        for metric, rows in changes.tested.groupby("metric", sort=False)
    ]


def _curves(content: ChangesPage) -> list[Plot]:
    points = add_series(content.levels, content.runs)
    limits = Limits.model_validate(content.runs[1]["spec"].get("limits", {}))
    return [curves.plot(points, "both runs") for curves in figure2_curves(limits)]


def add_series(levels: pd.DataFrame, runs: list[RunRow]) -> pd.DataFrame:
    """Add the run's label as `series`, and TTFT in milliseconds, to rows of level_summary."""
    named = labels(runs)
    in_ms = {name.replace("ttft_s", "ttft_ms"): levels[name] * 1000 for name in ("ttft_s_mean", "ttft_s_p95")}
    return levels.assign(series=levels["run_id"].map(named), **in_ms)


def figure2_curves(limits: Limits) -> tuple[Curves, Curves]:
    """Return the two plots of the article's Figure 2, for several runs."""
    system = Axis("system_tokens_per_s", "System throughput (tokens/s)", ",.0f")
    speed, wait = limits.query_tokens_per_s, limits.ttft_s
    query = Axis("query_tokens_per_s_mean", "Throughput per query (tokens/s)", ",.1f", speed, query_label(speed))
    ttft = Axis("ttft_ms_mean", "Time to first token, mean (ms)", ",.0f", wait * 1000, ttft_label(wait))
    reading = "one point per concurrency level"
    return (
        Curves("throughput-query", "Throughput per query", reading, system, query),
        Curves("throughput-ttft", "Time to first token", reading, system, ttft),
    )


def _cells(row: Mapping[Hashable, Any]) -> list[str]:
    """Return the cells of a row of the macro compare_runs."""
    metric, before = str(row["metric"]), row["before"]
    stat = ABSENT if row["stat"] == TOTAL else str(row["stat"])
    values = (ABSENT if is_absent(value) else quantity(metric, value) for value in (before, row["after"]))
    differences = (row[name] for name in ("difference", "difference_low", "difference_high"))
    shares = (ABSENT if is_absent(value) or not before else f"{value / before:+.1%}" for value in differences)
    return [str(row["concurrency"]), METRICS[metric].label, stat, *values, *shares, format_text(row["verdict"])]
