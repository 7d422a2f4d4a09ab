"""The ranking page: runs of several machines by cost, with what each sustains within the SLOs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from shapebench.analysis.comparison.labels import labels
from shapebench.analysis.comparison.ranking import Entry, Ranking
from shapebench.analysis.comparison.wording import headline, sentences
from shapebench.analysis.wording import slo_label
from shapebench.report.charts.curves import Axis, Curves
from shapebench.report.charts.pareto import plot_front
from shapebench.report.charts.theme import Plot
from shapebench.report.pages.changes import add_series, figure2_curves
from shapebench.report.pages.columns import ABSENT
from shapebench.report.pages.kit import write_page
from shapebench.results.views import RunRow
from shapebench.spec import slo
from shapebench.spec.model import Limits
from shapebench.support.wording import money


@dataclass(frozen=True)
class RankingPage:
    """The content of the page: runs, their rows of level_summary, the limits, and the ranking."""

    runs: list[RunRow]
    levels: pd.DataFrame
    limits: Limits
    ranking: Ranking

    @property
    def title(self) -> str:
        models = {run["model"] for run in self.runs}
        return f"Machines for {models.pop()}, ranked" if len(models) == 1 else "Machines and models, ranked"


def write(content: RankingPage, folder: Path) -> Path:
    """Write the page and its pictures; returns `folder/index.html`."""
    named = labels(content.runs)
    columns = [column for column in COLUMNS if content.ranking.users or not column.needs_users]
    return write_page(
        "ranking.html.j2",
        _plots(content),
        folder,
        title=content.title,
        criteria=_criteria(content),
        headline=headline(content.ranking, named),
        sentences=sentences(content.ranking, named),
        columns=["Machine", *(column.heading for column in columns)],
        definitions=[(column.heading, column.definition) for column in columns],
        rows=[[named[entry.run_id], *(column.cell(entry) for column in columns)] for entry in content.ranking.entries],
        runs=[_run_cells(run, named[run["run_id"]]) for run in content.runs],
    )


def _criteria(content: RankingPage) -> str:
    users = content.ranking.users
    order = f"fleet cost for {users:,} concurrent users" if users else "cost per user-hour"
    return f"SLOs: {', '.join(map(slo_label, content.limits.slos))}. Ranked by {order}."


def _run_cells(run: RunRow, label: str) -> list[str]:
    server = " ".join(filter(None, (run["server"], run["server_version"])))
    started = f"{run['started_at']:%Y-%m-%d %H:%M}"
    return [label, run["run_id"], run["model"], run["shape"], server or ABSENT, started, run["verdict"]]


def _plots(content: RankingPage) -> list[Plot]:
    points = add_series(content.levels, content.runs)
    prices = {entry.run_id: entry.costs.price_per_hour for entry in content.ranking.entries}
    cost = points["run_id"].map(prices).astype(float) / (points["system_tokens_per_s"] * 3600) * 1e6
    plots = [curves.plot(points, "all runs") for curves in figure2_curves(content.limits)]
    priced = points.assign(cost=cost)[cost.notna()]
    return plots if priced.empty else [*plots, *_cost_plots(priced)]


def _cost_plots(points: pd.DataFrame) -> list[Plot]:
    users = Axis("concurrency", "Concurrent users", ",.0f", log=True)
    dollars = Axis("cost", "Cost per million output tokens ($)", ",.3f", log=True)
    speed = Axis("query_tokens_per_s_mean", "Throughput per query (tokens/s)")
    reading = "one point per concurrency level; machines without a price are not shown"
    by_users = Curves("cost-users", "Cost per million output tokens", reading, users, dollars)
    return [plot_front(points, speed, dollars), by_users.plot(points, "at the utilisation of each level")]


@dataclass(frozen=True)
class Column:
    """A column of the ranking; one that `needs_users` is only shown for a given number of users."""

    heading: str
    cell: Callable[[Entry], str]
    definition: str
    needs_users: bool = False


def _cost(name: str, show: Callable[[float], str], entry: Entry) -> str:
    value: float | None = getattr(entry.costs, name)
    return ABSENT if value is None else show(value)


def _cost_interval(name: str, show: Callable[[float], str], entry: Entry) -> str:
    """Show a cost with its interval, which follows from that of the maximum number of users."""
    value: float | None = getattr(entry.costs, name)
    if value is None:
        return ABSENT
    low, high = ("?" if end is None else show(end) for end in entry.ends(name))
    return show(value) if low == high == show(value) else f"{show(value)} ({low} to {high})"


def _max_users(entry: Entry) -> str:
    if not entry.greatest:
        return "none"
    best, worst = entry.ends("concurrency")
    return f"{entry.greatest:,} ({worst or '?'} to {best or '?'})"


def _limiting_slo(entry: Entry) -> str:
    if entry.failing is None:
        return "not reached"
    limit = slo_label(slo.parse(entry.limited_by)) if entry.limited_by else "unknown"
    return f"{limit}, missed at {entry.failing:,}"


def _dollars(digits: int) -> Callable[[float], str]:
    return partial(money, digits=digits)


def _count(value: float) -> str:
    return f"{value:,.0f}"


COLUMNS = (
    Column(
        "Max. users",
        _max_users,
        "Highest concurrency level that meets all SLOs. In brackets its 95% interval: from the highest level that "
        "meets them with 95% confidence to just below the lowest that misses one with 95% confidence; ?: unknown.",
    ),
    Column(
        "Limiting SLO",
        _limiting_slo,
        "The SLO that the next level misses by the largest margin, and that level; not reached: no level misses one.",
    ),
    Column("Tokens/s", partial(_cost, "tokens_per_s", _count), "Output tokens/s of all users at the maximum."),
    Column(
        "Price per hour",
        partial(_cost, "price_per_hour", _dollars(2)),
        "US dollars for one machine: the given price, or OCI's list price.",
    ),
    Column(
        "Cost per million output tokens",
        partial(_cost_interval, "per_million_output_tokens", _dollars(3)),
        "At the maximum number of users, with the machine always as busy as at that level; in brackets the interval.",
    ),
    Column(
        "Cost per user-hour",
        partial(_cost_interval, "per_user_hour", _dollars(4)),
        "Price per hour divided by the maximum number of users; in brackets the interval.",
    ),
    Column(
        "Machines",
        partial(_cost_interval, "instances", _count),
        "Machines needed for the given number of users; in brackets the interval.",
        needs_users=True,
    ),
    Column(
        "Fleet cost per hour",
        partial(_cost_interval, "fleet_per_hour", _dollars(2)),
        "Price per hour of all these machines; in brackets the interval.",
        needs_users=True,
    ),
)
