"""The page of several runs, on machines that may differ: which suits, for how many, and at what price."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from shapebench.charts.curves import Axis, Curves
from shapebench.charts.pareto import front
from shapebench.charts.theme import Plot
from shapebench.comparison.labels import labels
from shapebench.comparison.ranking import Entry, Ranking
from shapebench.pages.changes import Runs, figure2_of, with_series
from shapebench.pages.columns import ABSENT
from shapebench.pages.kit import write_page
from shapebench.spec import Limits


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
    return write_page(
        "shapes.html.j2",
        _plots(content),
        folder,
        title=content.title,
        asked=_asked(content),
        headline=content.ranking.headline(named),
        sentences=content.ranking.sentences(named),
        columns=[column.heading for column in COLUMNS],
        definitions=[(column.heading, column.definition) for column in COLUMNS],
        rows=[[column.cell(entry, named) for column in COLUMNS] for entry in content.ranking.entries],
        runs=[_about(run, named) for run in content.runs],
    )


def _asked(content: Shapes) -> str:
    limits, users = content.limits, content.ranking.users
    speed, wait = f"{limits.query_tokens_per_s:g} tokens/s for each query", f"{limits.ttft_s * 1000:g} ms"
    for_whom = f", for {users:,} users at once" if users else ""
    return f"Asked for: at least {speed}, first tokens within {wait}{for_whom}."


def _about(run: dict[str, Any], named: Mapping[str, str]) -> list[str]:
    server = " ".join(filter(None, (run["server"], run["server_version"])))
    began = f"{run['started_at']:%Y-%m-%d %H:%M}"
    return [named[run["run_id"]], run["run_id"], run["model"], run["shape"], server or ABSENT, began, run["verdict"]]


def _plots(content: Shapes) -> list[Plot]:
    points = with_series(content.levels, content.runs)
    prices = {entry.run_id: entry.price_per_hour for entry in content.ranking.entries}
    cost = points["run_id"].map(prices).astype(float) / (points["system_tokens_per_s"] * 3600) * 1e6
    points = points.assign(cost=cost)
    plots = [curves.plot(points, "all runs") for curves in figure2_of(content.limits)]
    return [*plots, *(_of_cost(points[points["cost"].notna()]) if points["cost"].notna().any() else [])]


def _of_cost(points: pd.DataFrame) -> list[Plot]:
    users = Axis("concurrency", "Concurrent users", ",.0f", log=True)
    dollars = Axis("cost", "Cost of a million output tokens", ",.3f", log=True)
    speed = Axis("query_tokens_per_s_mean", "Throughput of each query (tokens/s)")
    each = "a point for each number of concurrent users; only machines of known price"
    by_users = Curves("cost-users", "Cost of a million output tokens", each, users, dollars)
    return [front(points, speed, dollars), by_users.plot(points, "at list price, of a machine that is kept busy")]


Cell = Callable[[Entry, Mapping[str, str]], str]


@dataclass(frozen=True)
class Column:
    """A column of the ranking: `cell` makes the text of an entry's cell."""

    heading: str
    cell: Cell
    definition: str


def _money(value: float | None, digits: int) -> str:
    return ABSENT if value is None else f"{value:,.{digits}f}"


def _of(attribute: str, digits: int, entry: Entry, _: Mapping[str, str]) -> str:
    return _money(getattr(entry, attribute), digits)


def _suits(entry: Entry, _: Mapping[str, str]) -> str:
    if not entry.greatest:
        return "none"
    return f"{entry.greatest:,}" if entry.refused is None else f"{entry.greatest:,} (not {entry.refused:,})"


def _instances(entry: Entry, _: Mapping[str, str]) -> str:
    return ABSENT if entry.instances is None else f"{entry.instances:,}"


COLUMNS = (
    Column("Run", lambda entry, named: named[entry.run_id], "As in the plots."),
    Column(
        "Users that it suits", _suits, "The greatest level at which all limits hold, and the next that was measured."
    ),
    Column("Tokens/s", partial(_of, "system_tokens_per_s", 0), "Output tokens of all users together, at that level."),
    Column("Price of an hour", partial(_of, "price_per_hour", 2), "List price of one machine, or what was given."),
    Column(
        "A million output tokens",
        partial(_of, "per_million_output_tokens", 3),
        "At that level, of a machine that is kept as busy as the level kept it.",
    ),
    Column(
        "A user for an hour",
        partial(_of, "per_user_hour", 4),
        "The price of an hour, shared by the users that it suits.",
    ),
    Column("Machines", _instances, "How many it takes for the users that were asked for."),
    Column("All of them, an hour", partial(_of, "fleet_per_hour", 2), "Their price together."),
)
