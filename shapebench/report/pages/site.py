"""The index of all runs: a card for each, with a small plot, and filters that work without a server."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from shapebench.report.pages.kit import render_without_plots
from shapebench.results.views import RunRow
from shapebench.spec.model import Limits
from shapebench.support.redact import redact

TITLE = "Benchmarks of LLM serving"
_FILTERS: dict[str, Literal["model", "shape", "url"]] = {"Model": "model", "Shape": "shape", "Endpoint": "url"}
_WIDTH, _HEIGHT, _MARGIN = 260, 110, 8


@dataclass(frozen=True)
class Dot:
    """A level in the small plot, in the units of its viewBox."""

    x: float
    y: float
    concurrency: int
    verdict: str

    @property
    def label_y(self) -> float:
        """Of its text's foot: above the point, or below where there is no room."""
        return self.y - 6 if self.y > _MARGIN * 2 else self.y + 14


@dataclass(frozen=True)
class Mini:
    """Figure 2's left half, the size of a stamp."""

    dots: tuple[Dot, ...]
    limit: float
    description: str
    width: int = _WIDTH
    height: int = _HEIGHT
    bottom: int = _HEIGHT - _MARGIN

    @property
    def line(self) -> str:
        return " ".join(f"{dot.x},{dot.y}" for dot in self.dots if dot.verdict != "invalid")

    @property
    def ends(self) -> tuple[Dot, ...]:
        return (self.dots[0], self.dots[-1]) if len(self.dots) > 1 else self.dots


@dataclass(frozen=True)
class Card:
    """A run in the index; `report` and `history` are ways from the index, `places` its number in each filter's list."""

    title: str
    verdict: str
    headline: str
    about: str
    report: str | None
    history: str
    mini: Mini | None
    places: Mapping[str, int]


@dataclass(frozen=True)
class Ways:
    """Where a run's report and its endpoint's history lie, from the index."""

    reports: Mapping[str, str]  # run id to address; those without a report are missing
    histories: Mapping[str, str]


def page(runs: list[RunRow], levels: pd.DataFrame, ways: Ways) -> str:
    """The index of runs, newest first, from rows of `runs` and of `level_summary`."""
    filters = {name: sorted({_told(run[column]) for run in runs}) for name, column in _FILTERS.items()}
    reach = _reach(levels)
    rows = dict(iter(levels.groupby("run_id")))
    cards = [_card(run, _mini(run, rows.get(run["run_id"]), reach), filters, ways) for run in runs]
    return render_without_plots("site.html.j2", "site.js", title=TITLE, cards=cards, filters=filters)


def _told(value: object) -> str:
    return redact(str(value))


def _card(run: RunRow, mini: Mini | None, filters: Mapping[str, list[str]], ways: Ways) -> Card:
    about = (f"{run['started_at']:%Y-%m-%d %H:%M} UTC", _told(run["url"]), f"workload {run['workload']}", run["run_id"])
    return Card(
        title=f"{run['model']} on {run['shape']}",
        verdict=run["verdict"],
        headline=run["headline"] or "",
        about=", ".join(about),
        report=ways.reports.get(run["run_id"]),
        history=ways.histories[run["run_id"]],
        mini=mini,
        places={name: filters[name].index(_told(run[column])) + 1 for name, column in _FILTERS.items()},
    )


def _reach(levels: pd.DataFrame) -> pd.DataFrame:
    """How far the axes go: runs of one model and workload are drawn to one scale."""
    return levels.groupby(["model", "workload"])[["system_tokens_per_s", "query_tokens_per_s_mean"]].max()


def _mini(run: RunRow, levels: pd.DataFrame | None, reach: pd.DataFrame) -> Mini | None:
    if levels is None:
        return None
    drawn = levels.dropna(subset=["system_tokens_per_s", "query_tokens_per_s_mean"]).sort_values("concurrency")
    if drawn.empty:
        return None
    limit = Limits.model_validate(run["spec"].get("limits", {})).query_tokens_per_s
    system, query = map(float, reach.loc[[(run["model"], run["workload"])]].to_numpy()[0])
    top = max(query, limit) * 1.1
    dots = tuple(_dots(drawn.to_dict("records"), system * 1.05, top))
    return Mini(dots, _up(limit, top), _said(drawn))


def _dots(rows: Iterable[Mapping[Any, Any]], right: float, top: float) -> Iterable[Dot]:
    for row in rows:
        x = round(float(row["system_tokens_per_s"]) / right * _WIDTH, 1)
        yield Dot(x, _up(float(row["query_tokens_per_s_mean"]), top), int(row["concurrency"]), str(row["verdict"]))


def _up(value: float, top: float) -> float:
    return round((1 - value / top) * (_HEIGHT - _MARGIN), 1)


def _said(drawn: pd.DataFrame) -> str:
    ends = [
        f"{row['query_tokens_per_s_mean']:,.0f} tokens/s for each query at concurrency {row['concurrency']}"
        for row in drawn.iloc[[0, -1]].to_dict("records")
    ]
    return f"From {ends[0]} to {ends[1]}"
