"""The page of one endpoint over time: its numbers, run after run, with those marked that are worse than before."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from shapebench.analysis.regression import RegressionCheck
from shapebench.report.charts.history import history
from shapebench.report.charts.theme import Plot
from shapebench.report.pages.changes import Runs
from shapebench.report.pages.kit import write_page
from shapebench.results.views import RunRow
from shapebench.support.redact import redact

# What is drawn, as regressions and level_summary name it; then the name and title of its plot.
_COLUMNS = {
    ("ttft_s", "mean"): "ttft_ms_mean",
    ("query_tokens_per_s", "mean"): "query_tokens_per_s_mean",
    ("system_tokens_per_s", "total"): "system_tokens_per_s",
}
_TITLES = {
    "ttft_ms_mean": ("history-ttft", "Time to first token, mean (ms)"),
    "query_tokens_per_s_mean": ("history-query", "Throughput of each query (tokens/s)"),
    "system_tokens_per_s": ("history-system", "System throughput (tokens/s)"),
}
_STANDINGS = {"regression": "suspect", "no-regression": "valid", "cannot-tell": "invalid"}


@dataclass(frozen=True)
class History:
    """What the page shows: an endpoint's runs, oldest first, their rows of level_summary, and how each compares."""

    runs: Runs
    levels: pd.DataFrame
    judgements: Mapping[str, RegressionCheck]

    @property
    def newest(self) -> RunRow:
        return self.runs[-1]

    @property
    def title(self) -> str:
        return f"{self.newest['model']} on {self.newest['shape']} over time"

    @property
    def of_newest(self) -> RegressionCheck:
        return self.judgements[self.newest["run_id"]]


def write(content: History, folder: Path) -> Path:
    """Write the page and its pictures; gives `folder/index.html`."""
    return write_page(
        "history.html.j2",
        _plots(content),
        folder,
        title=content.title,
        url=redact(content.newest["url"]),
        workload=content.newest["workload"],
        standing=_STANDINGS[content.of_newest.known],
        judgement=content.of_newest,
        runs=[_about(run, content.judgements[run["run_id"]]) for run in reversed(content.runs)],
    )


def _about(run: RunRow, judgement: RegressionCheck) -> list[str]:
    began = f"{run['started_at']:%Y-%m-%d %H:%M}"
    return [run["run_id"], began, run["server_version"] or "", run["verdict"], run["headline"], judgement.headline]


def _plots(content: History) -> list[Plot]:
    levels = content.levels.assign(ttft_ms_mean=content.levels["ttft_s_mean"] * 1000)
    drawn = {key: column for key, column in _COLUMNS.items() if levels[column].notna().any()}
    return [history(_marked(levels, content, key), column, *_TITLES[column]) for key, column in drawn.items()]


def _marked(levels: pd.DataFrame, content: History, number: tuple[str, str]) -> pd.DataFrame:
    """With `worse` where a number of this metric and stat is worse than in the runs before."""
    worse = {
        (run_id, found.concurrency)
        for run_id, judgement in content.judgements.items()
        for found in judgement.worse
        if (found.metric, found.stat) == number
    }
    return levels.assign(worse=[key in worse for key in zip(levels["run_id"], levels["concurrency"], strict=True)])
