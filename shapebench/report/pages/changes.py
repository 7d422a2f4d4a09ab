"""The page of two runs of one thing: what changed between them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from shapebench.analysis.comparison.changes import MATTERS, Changes, settings_that_differ
from shapebench.analysis.comparison.labels import labels
from shapebench.report.charts.changes import change
from shapebench.report.charts.curves import Axis, Curves
from shapebench.report.charts.theme import Plot
from shapebench.report.pages.columns import ABSENT
from shapebench.report.pages.kit import write_page
from shapebench.results.views import RunRow
from shapebench.spec.model import Limits
from shapebench.support.redact import redact

Runs = list[RunRow]

_JUDGED = {
    "ttft_s": ("change-ttft", "Mean time to first token"),
    "steady_tokens_per_s": ("change-throughput", "Throughput"),
}
COLUMNS = ("Concurrent users", "Metric", "Stat", "From", "To", "Change", "At least", "At most", "By itself")


@dataclass(frozen=True)
class TwoRuns:
    """What the page shows: both runs, their rows of level_summary, and the rows of compare_runs."""

    runs: Runs
    levels: pd.DataFrame
    differences: pd.DataFrame
    changes: Changes

    @property
    def title(self) -> str:
        return f"What changed: {self.runs[1]['model']} on {self.runs[1]['shape']}"


def write(content: TwoRuns, folder: Path) -> Path:
    """Write the page and its pictures; gives `folder/index.html`."""
    sizes, curves = _sizes(content.changes), _curves(content)
    return write_page(
        "changes.html.j2",
        [*sizes, *curves],
        folder,
        title=content.title,
        runs=[{**run, "url": redact(run["url"])} for run in content.runs],
        changes=content.changes,
        split=len(sizes),
        settings=settings_that_differ(*content.runs),
        columns=COLUMNS,
        rows=[[cell(row) for cell in _CELLS] for row in content.differences.to_dict("records")],
    )


def _sizes(changes: Changes) -> list[Plot]:
    return [
        change(rows, *_JUDGED[str(metric)], MATTERS) for metric, rows in changes.judged.groupby("metric", sort=False)
    ]


def _curves(content: TwoRuns) -> list[Plot]:
    points = with_series(content.levels, content.runs)
    limits = Limits.model_validate(content.runs[1]["spec"].get("limits", {}))
    return [curves.plot(points, "both runs") for curves in figure2_of(limits)]


def with_series(levels: pd.DataFrame, runs: Runs) -> pd.DataFrame:
    """Rows of level_summary as points of curves, named as in all of the page; times in milliseconds, too."""
    named = labels(runs)
    in_ms = {name.replace("ttft_s", "ttft_ms"): levels[name] * 1000 for name in ("ttft_s_mean", "ttft_s_p95")}
    return levels.assign(series=levels["run_id"].map(named), **in_ms)


def figure2_of(limits: Limits) -> tuple[Curves, Curves]:
    """The article's Figure 2, for several runs."""
    system = Axis("system_tokens_per_s", "System throughput (tokens/s)", ",.0f")
    speed, wait = limits.query_tokens_per_s, limits.ttft_s * 1000
    query = Axis("query_tokens_per_s_mean", "Throughput of each query (tokens/s)", ",.1f", speed, f"at least {speed:g}")
    ttft = Axis("ttft_ms_mean", "Time to first token, mean (ms)", ",.0f", wait, f"at most {wait:g} ms")
    each = "a point for each number of concurrent users"
    return (
        Curves("throughput-query", "Throughput of each query", each, system, query),
        Curves("throughput-ttft", "Time to first token", each, system, ttft),
    )


Row = Mapping[Any, Any]


def _share(column: str) -> Callable[[Row], str]:
    """A difference as a share of what was before."""

    def cell(row: Row) -> str:
        value, before = row[column], row["before"]
        return ABSENT if pd.isna(value) or not before or pd.isna(before) else f"{value / before:+.1%}"

    return cell


def _number(column: str) -> Callable[[Row], str]:
    return lambda row: ABSENT if pd.isna(row[column]) else f"{row[column]:,.4g}"


def _text(column: str) -> Callable[[Row], str]:
    return lambda row: ABSENT if row[column] is None or pd.isna(row[column]) else str(row[column])


_CELLS = (
    _text("concurrency"),
    _text("metric"),
    _text("stat"),
    _number("before"),
    _number("after"),
    _share("difference"),
    _share("difference_low"),
    _share("difference_high"),
    _text("verdict"),
)
