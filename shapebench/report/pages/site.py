"""The index of all runs: a card for each, with a small plot, and filters that work without a server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import pandas as pd

from shapebench.report.pages.card_plot import CardPlot, card_plot, max_throughputs
from shapebench.report.pages.kit import render_without_plots
from shapebench.results.views import RunRow
from shapebench.spec.model import Limits
from shapebench.support.redact import redact

Maxima: TypeAlias = Mapping[tuple[str, str], tuple[float, float]]  # of x and y, by model and workload

TITLE = "LLM serving benchmarks"
_FILTERS: dict[str, Literal["model", "shape", "url"]] = {"Model": "model", "Shape": "shape", "Endpoint": "url"}


@dataclass(frozen=True)
class Card:
    """A run in the index: texts, links, its plot, and `choices`, its number in the list of each filter."""

    title: str
    verdict: str
    headline: str
    about: str
    report: str | None
    history: str
    plot: CardPlot | None
    choices: Mapping[str, int]


@dataclass(frozen=True)
class Links:
    """Addresses of reports and histories relative to the index, by run id; a run without a report is missing."""

    reports: Mapping[str, str]
    histories: Mapping[str, str]


def render_index(runs: list[RunRow], levels: pd.DataFrame, links: Links) -> str:
    """Return the index as HTML, with the runs in the given order and their rows of level_summary."""
    filters = {name: sorted({redact(str(run[column])) for run in runs}) for name, column in _FILTERS.items()}
    maxima, by_run = max_throughputs(levels), dict(iter(levels.groupby("run_id")))
    cards = [_card(run, _plot(run, by_run.get(run["run_id"]), maxima), filters, links) for run in runs]
    return render_without_plots("site.html.j2", "site.js", title=TITLE, cards=cards, filters=filters)


def _card(run: RunRow, plot: CardPlot | None, filters: Mapping[str, list[str]], links: Links) -> Card:
    about = (
        f"{run['started_at']:%Y-%m-%d %H:%M} UTC",
        redact(run["url"]),
        f"workload {run['workload']}",
        run["run_id"],
    )
    return Card(
        title=f"{run['model']} on {run['shape']}",
        verdict=run["verdict"],
        headline=run["headline"] or "",
        about=", ".join(about),
        report=links.reports.get(run["run_id"]),
        history=links.histories[run["run_id"]],
        plot=plot,
        choices={name: filters[name].index(redact(str(run[column]))) + 1 for name, column in _FILTERS.items()},
    )


def _plot(run: RunRow, levels: pd.DataFrame | None, maxima: Maxima) -> CardPlot | None:
    if levels is None:
        return None
    limit = Limits.model_validate(run["spec"].get("limits", {})).query_tokens_per_s
    return card_plot(levels, limit, maxima[run["model"], run["workload"]])
