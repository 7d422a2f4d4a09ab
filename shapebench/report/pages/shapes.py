"""The page of several runs, on machines that may differ: which suits, for how many, and at what price."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from shapebench.analysis.comparison.labels import labels
from shapebench.analysis.comparison.ranking import Entry, Ranking
from shapebench.analysis.comparison.wording import headline, sentences
from shapebench.report.charts.curves import Axis, Curves
from shapebench.report.charts.pareto import front
from shapebench.report.charts.theme import Plot
from shapebench.report.pages.changes import Runs, figure2_of, with_series
from shapebench.report.pages.columns import ABSENT
from shapebench.report.pages.kit import write_page
from shapebench.results.views import RunRow
from shapebench.spec.model import LIMITS, Limits
from shapebench.spec.slo import Slo
from shapebench.support.wording import money


@dataclass(frozen=True)
class Shapes:
    """What the page shows: the runs, their rows of level_summary, the limits that were asked for, and the ranking."""

    runs: Runs
    levels: pd.DataFrame
    limits: Limits
    ranking: Ranking

    @property
    def title(self) -> str:
        models = {run["model"] for run in self.runs}
        return f"Which machine for {models.pop()}?" if len(models) == 1 else "Which machine, for which model?"


def write(content: Shapes, folder: Path) -> Path:
    """Write the page and its pictures; gives `folder/index.html`."""
    named = labels(content.runs)
    columns = [column for column in COLUMNS if content.ranking.users or column.heading not in OF_USERS]
    return write_page(
        "shapes.html.j2",
        _plots(content),
        folder,
        title=content.title,
        asked=_asked(content),
        headline=headline(content.ranking, named),
        sentences=sentences(content.ranking, named),
        columns=[column.heading for column in columns],
        definitions=[(column.heading, column.definition) for column in columns],
        rows=[[column.cell(entry, named) for column in columns] for entry in content.ranking.entries],
        runs=[_about(run, named) for run in content.runs],
    )


def _asked(content: Shapes) -> str:
    limits, users = content.limits, content.ranking.users
    bounds = [str(slo) for slo in limits.slos if slo not in [*_drawn(limits)]]
    wanted = "; ".join([*_drawn(limits).values(), *bounds])
    for_whom = f", for {users:,} users at once" if users else ", by the price for a user"
    return f"Asked for: {wanted}{for_whom}."


def _drawn(limits: Limits) -> dict[Slo, str]:
    """The two limits in words, where they are judged by."""
    words = {
        "query_tokens_per_s": f"at least {limits.query_tokens_per_s:g} tokens/s for each query, on average",
        "ttft_s": f"first tokens within {limits.ttft_s * 1000:g} ms for 95% of requests",
    }
    judged = {name: replace(form, bound=getattr(limits, name)) for name, form in LIMITS.items()}
    return {slo: words[name] for name, slo in judged.items() if slo in limits.slos}


def _about(run: RunRow, named: Mapping[str, str]) -> list[str]:
    server = " ".join(filter(None, (run["server"], run["server_version"])))
    began = f"{run['started_at']:%Y-%m-%d %H:%M}"
    return [named[run["run_id"]], run["run_id"], run["model"], run["shape"], server or ABSENT, began, run["verdict"]]


def _plots(content: Shapes) -> list[Plot]:
    points = with_series(content.levels, content.runs)
    prices = {entry.run_id: entry.costs.price_per_hour for entry in content.ranking.entries}
    cost = points["run_id"].map(prices).astype(float) / (points["system_tokens_per_s"] * 3600) * 1e6
    points = points.assign(cost=cost)
    plots = [curves.plot(points, "all runs") for curves in figure2_of(content.limits)]
    return [*plots, *(_of_cost(points[points["cost"].notna()]) if points["cost"].notna().any() else [])]


def _of_cost(points: pd.DataFrame) -> list[Plot]:
    users = Axis("concurrency", "Concurrent users", ",.0f", log=True)
    dollars = Axis("cost", "Cost of a million output tokens ($)", ",.3f", log=True)
    speed = Axis("query_tokens_per_s_mean", "Throughput of each query (tokens/s)")
    each = "a point for each number of concurrent users; only machines of known price"
    by_users = Curves("cost-users", "Cost of a million output tokens", each, users, dollars)
    return [
        front(points, speed, dollars),
        by_users.plot(points, "of a machine that is kept as busy as the level kept it"),
    ]


Cell = Callable[[Entry, Mapping[str, str]], str]


@dataclass(frozen=True)
class Column:
    """A column of the ranking: `cell` makes the text of an entry's cell."""

    heading: str
    cell: Cell
    definition: str


def _of(name: str, form: Callable[[Any], str], entry: Entry, _: Mapping[str, str]) -> str:
    value = getattr(entry.costs, name)
    return ABSENT if value is None else form(value)


def _with_ends(name: str, form: Callable[[Any], str], entry: Entry, _: Mapping[str, str]) -> str:
    """And from where to where it may be, for all that is known of the machine's limit."""
    value, ends = getattr(entry.costs, name), entry.ends(name)
    if value is None:
        return ABSENT
    least, most = ("?" if end is None else form(end) for end in ends)
    return form(value) if least == most == form(value) else f"{form(value)} ({least} to {most})"


def _suits(entry: Entry, _: Mapping[str, str]) -> str:
    if not entry.greatest:
        return "none"
    best, worst = entry.ends("concurrency")
    return f"{entry.greatest:,} ({worst or '?'} to {best or '?'})"


def _limit(entry: Entry, _: Mapping[str, str]) -> str:
    if entry.failing is None:
        return "no higher level was measured"
    return f"{entry.limited_by or 'nothing is known'}, at {entry.failing:,}"


def _dollars(digits: int) -> Callable[[Any], str]:
    return partial(money, digits=digits)


def _count(value: Any) -> str:
    return f"{value:,.0f}"


COLUMNS = (
    Column("Run", lambda entry, named: named[entry.run_id], "As in the plots."),
    Column(
        "Users that it suits",
        _suits,
        "The greatest level at which all limits hold; in brackets where the machine's limit lies: from the greatest at "
        "which they surely hold (95%) to just below the least at which they surely do not. ?: no level tells.",
    ),
    Column("What more would break", _limit, "The limit that the next level misses by most, and that level."),
    Column(
        "Tokens/s",
        partial(_of, "tokens_per_s", _count),
        "Output tokens of all users together, at the greatest level that suits.",
    ),
    Column(
        "Price of an hour",
        partial(_of, "price_per_hour", _dollars(2)),
        "US dollars for one machine: what was given, else OCI's list price.",
    ),
    Column(
        "A million output tokens",
        partial(_with_ends, "per_million_output_tokens", _dollars(3)),
        "At that level, of a machine that is kept as busy as the level kept it; in brackets at the ends of its limit.",
    ),
    Column(
        "A user for an hour",
        partial(_with_ends, "per_user_hour", _dollars(4)),
        "The price of an hour, shared by the users that it suits; in brackets at the ends of its limit.",
    ),
    Column(
        "Machines",
        partial(_with_ends, "instances", _count),
        "How many it takes for the users that were asked for; in brackets at the ends of its limit.",
    ),
    Column("All of them, an hour", partial(_with_ends, "fleet_per_hour", _dollars(2)), "Their price together."),
)
OF_USERS = {"Machines", "All of them, an hour"}  # shown where it was said how many there are
