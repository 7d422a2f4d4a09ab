"""The history page: metrics of one endpoint over all its runs, with regressions marked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from shapebench.analysis.regression import RegressionCheck
from shapebench.report.charts.history import plot_history
from shapebench.report.charts.theme import Plot
from shapebench.report.pages.kit import write_page
from shapebench.results.views import RunRow
from shapebench.support.redact import redact

# The plotted columns by metric and stat; then the name and title of each plot.
_COLUMNS = {
    ("ttft_s", "mean"): "ttft_ms_mean",
    ("query_tokens_per_s", "mean"): "query_tokens_per_s_mean",
    ("system_tokens_per_s", "total"): "system_tokens_per_s",
}
_TITLES = {
    "ttft_ms_mean": ("history-ttft", "Time to first token, mean (ms)"),
    "query_tokens_per_s_mean": ("history-query", "Throughput per query (tokens/s)"),
    "system_tokens_per_s": ("history-system", "System throughput (tokens/s)"),
}
_STATUSES = {"regression": "suspect", "no-regression": "valid", "cannot-tell": "invalid"}


@dataclass(frozen=True)
class HistoryPage:
    """The content of the page: runs of an endpoint, oldest first, their levels, and a regression check for each."""

    runs: list[RunRow]
    levels: pd.DataFrame
    checks: Mapping[str, RegressionCheck]

    @property
    def newest(self) -> RunRow:
        return self.runs[-1]

    @property
    def title(self) -> str:
        return f"{self.newest['model']} on {self.newest['shape']} over time"

    @property
    def newest_check(self) -> RegressionCheck:
        return self.checks[self.newest["run_id"]]


def write(content: HistoryPage, folder: Path) -> Path:
    """Write the page and its pictures; returns `folder/index.html`."""
    return write_page(
        "history.html.j2",
        _plots(content),
        folder,
        title=content.title,
        url=redact(content.newest["url"]),
        workload=content.newest["workload"],
        status=_STATUSES[content.newest_check.known],
        regression=content.newest_check,
        runs=[_run_cells(run, content.checks[run["run_id"]]) for run in reversed(content.runs)],
    )


def _run_cells(run: RunRow, check: RegressionCheck) -> list[str]:
    started = f"{run['started_at']:%Y-%m-%d %H:%M}"
    return [run["run_id"], started, run["server_version"] or "", run["verdict"], run["headline"], check.headline]


def _plots(content: HistoryPage) -> list[Plot]:
    levels = content.levels.assign(ttft_ms_mean=content.levels["ttft_s_mean"] * 1000)
    drawn = {key: column for key, column in _COLUMNS.items() if levels[column].notna().any()}
    return [
        plot_history(_mark_regressions(levels, content, key), column, *_TITLES[column]) for key, column in drawn.items()
    ]


def _mark_regressions(levels: pd.DataFrame, content: HistoryPage, number: tuple[str, str]) -> pd.DataFrame:
    """Add `worse`: true where this metric and stat regressed."""
    worse = {
        (run_id, regression.concurrency)
        for run_id, check in content.checks.items()
        for regression in check.worse
        if (regression.metric, regression.stat) == number
    }
    return levels.assign(worse=[key in worse for key in zip(levels["run_id"], levels["concurrency"], strict=True)])
