"""The page of one endpoint over time: its numbers, run after run, with those marked that are worse than before."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from shapebench.charts.history import history
from shapebench.charts.theme import Plot
from shapebench.cover import without_secrets
from shapebench.pages.changes import Runs
from shapebench.pages.kit import write_page

_PLOTS = (
    ("ttft_ms_mean", "history-ttft", "Time to first token, mean (ms)"),
    ("query_tokens_per_s_mean", "history-query", "Throughput of each query (tokens/s)"),
    ("system_tokens_per_s", "history-system", "System throughput (tokens/s)"),
)
# How what the macro regressions judges is named in the columns of level_summary.
_JUDGED = {
    ("ttft_s", "mean"): "ttft_ms_mean",
    ("query_tokens_per_s", "mean"): "query_tokens_per_s_mean",
    ("system_tokens_per_s", "total"): "system_tokens_per_s",
}


@dataclass(frozen=True)
class History:
    """What the page shows: an endpoint's runs, oldest first, and their rows of level_summary and of regressions."""

    runs: Runs
    levels: pd.DataFrame
    regressions: pd.DataFrame

    @property
    def newest(self) -> dict[str, Any]:
        return self.runs[-1]

    @property
    def title(self) -> str:
        return f"{self.newest['model']} on {self.newest['shape']} over time"

    @property
    def worse(self) -> pd.DataFrame:
        return self.regressions.query("verdict == 'worse'")

    @property
    def worse_in_newest(self) -> pd.DataFrame:
        rows: pd.DataFrame = self.worse[self.worse["run_id"] == self.newest["run_id"]]
        return rows

    @property
    def headline(self) -> str:
        rows = self.regressions[self.regressions["run_id"] == self.newest["run_id"]]
        judged = rows["verdict"].isin(["same", "better", "worse"]).sum()
        if len(self.worse_in_newest):
            return f"{len(self.worse_in_newest)} of {judged} numbers are worse than in the runs before"
        return "No number is worse than in the runs before" if judged else "There are too few runs before it to tell"


def write(content: History, folder: Path) -> Path:
    """Write the page and its pictures; gives `folder/index.html`."""
    return write_page(
        "history.html.j2",
        _plots(content),
        folder,
        title=content.title,
        url=without_secrets(content.newest["url"]),
        workload=content.newest["workload"],
        standing="valid" if content.worse_in_newest.empty else "suspect",
        headline=content.headline,
        sentences=[_sentence(row) for row in content.worse_in_newest.to_dict("records")],
        runs=[_about(run, content.worse) for run in reversed(content.runs)],
    )


def _sentence(row: Any) -> str:
    spread = f"{row['least_detectable']:.1%}"
    return (
        f"With {row['concurrency']} concurrent users, {row['metric']} {row['stat']} changed by {row['change']:+.1%}; "
        f"up to {spread} is how much the {row['baseline_runs']} runs before differ."
    )


def _about(run: dict[str, Any], worse: pd.DataFrame) -> list[str]:
    began, count = f"{run['started_at']:%Y-%m-%d %H:%M}", int((worse["run_id"] == run["run_id"]).sum())
    return [run["run_id"], began, run["server_version"] or "", run["verdict"], run["headline"], str(count or "")]


def _plots(content: History) -> list[Plot]:
    levels = content.levels.assign(ttft_ms_mean=content.levels["ttft_s_mean"] * 1000)
    return [
        history(_judged(levels, content.regressions, column), column, *named)
        for column, *named in _PLOTS
        if levels[column].notna().any()
    ]


def _judged(levels: pd.DataFrame, regressions: pd.DataFrame, column: str) -> pd.DataFrame:
    of_column = [_JUDGED.get(key) == column for key in zip(regressions["metric"], regressions["stat"], strict=True)]
    verdicts = regressions.loc[of_column].rename(columns={"verdict": "judged"})[["run_id", "concurrency", "judged"]]
    return levels.merge(verdicts, on=["run_id", "concurrency"], how="left")
