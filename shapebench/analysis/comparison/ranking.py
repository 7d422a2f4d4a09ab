"""Several runs, on machines that may differ: which suits, for how many users, and at what price."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from shapebench.analysis.capacity.search import Evidence, found
from shapebench.sizing.estimate.cost import cost_per_million_output_tokens

Row = Mapping[Hashable, Any]
Weigh = Callable[[Row], Evidence]  # by what margin does a row of level_summary keep what is asked, and how surely?


@dataclass(frozen=True)
class Costs:
    """What a machine costs that bears so many users; None where no price, or no number of users, is known."""

    bears: int
    tokens_per_s: float | None  # of all of them together
    price_per_hour: float | None
    users: int | None = None  # for whom there is to be room

    @property
    def per_million_output_tokens(self) -> float | None:
        if self.price_per_hour is None or not self.tokens_per_s:
            return None
        return cost_per_million_output_tokens(self.price_per_hour, self.tokens_per_s)

    @property
    def per_user_hour(self) -> float | None:
        return self.price_per_hour / self.bears if self.price_per_hour is not None and self.bears else None

    @property
    def instances(self) -> int | None:
        return math.ceil(self.users / self.bears) if self.users and self.bears else None

    @property
    def fleet_per_hour(self) -> float | None:
        if self.price_per_hour is None or self.instances is None:
            return None
        return self.price_per_hour * self.instances

    @property
    def price(self) -> float | None:
        """What is compared: of all machines that it takes, or of one user's share where no number of users is given."""
        return self.fleet_per_hour if self.users else self.per_user_hour


DERIVED = ("per_million_output_tokens", "per_user_hour", "instances", "fleet_per_hour")


@dataclass(frozen=True)
class Entry:
    """What one run says of its machine.

    `costs` are at the greatest concurrency that suits. `refused` is the next one measured, which does not: None where
    all levels suit. With 95 % confidence the true limit lies from the greatest that surely suits (`at_worst`) to just
    below the least that surely does not (`at_best`); None where no level tells.
    """

    run_id: str
    shape: str
    costs: Costs
    refused: int | None = None
    limited_by: str | None = None  # the SLO that this one misses by most
    at_worst: Costs | None = None
    at_best: Costs | None = None

    @property
    def greatest(self) -> int:
        return self.costs.bears

    def ends(self, name: str) -> tuple[Any, Any]:
        """Of one of the costs, at the limit's best and at its worst; None where an end is not known."""
        best, worst = (getattr(costs, name) if costs else None for costs in (self.at_best, self.at_worst))
        return best, worst

    def as_object(self) -> dict[str, Any]:
        """As the commands print it; each `…_interval` is from the limit's best to its worst."""
        costs = self.costs
        numbers = {name: (getattr(costs, name), self.ends(name)) for name in DERIVED}
        return {
            "run_id": self.run_id,
            "shape": self.shape,
            "greatest": costs.bears,
            "greatest_interval": [self.ends("bears")[1], self.ends("bears")[0]],
            "refused": self.refused,
            "limited_by": self.limited_by,
            "system_tokens_per_s": costs.tokens_per_s,
            "price_per_hour": costs.price_per_hour,
            "users": costs.users,
            **{name: value for name, (value, _) in numbers.items()},
            **{f"{name}_interval": [*ends] for name, (_, ends) in numbers.items()},
        }


@dataclass(frozen=True)
class Ranking:
    """The runs, the best first: the cheapest that suits, then those of unknown price by the users that they bear."""

    entries: tuple[Entry, ...]
    users: int | None = None

    @property
    def best(self) -> Entry | None:
        return self.entries[0] if self.entries and self.entries[0].greatest else None

    @property
    def rivals(self) -> tuple[Entry, ...]:
        """Those that may be as cheap as the best, for all that is known of the limits of both."""
        if self.best is None or self.best.costs.price is None:
            return ()
        _, most = self.best.ends("price")
        return tuple(entry for entry in self.entries[1:] if _may_cost(entry, math.inf if most is None else most))


def _may_cost(entry: Entry, price: float) -> bool:
    """No more than that; of a machine that suits nobody, or whose price is not known, nothing is said."""
    if entry.costs.price is None:
        return False
    least, _ = entry.ends("price")
    return least is None or least <= price


def ranking(levels: pd.DataFrame, weigh: Weigh, prices: Mapping[str, float], users: int | None = None) -> Ranking:
    """Rank the runs of rows of level_summary; `prices` are of an hour of each shape."""
    entries = [_entry(rows, weigh, prices, users) for _, rows in levels.groupby("run_id", sort=False)]
    return Ranking(tuple(sorted(entries, key=_place)), users)


def _place(entry: Entry) -> tuple[bool, float, int]:
    price = entry.costs.price
    return not entry.greatest, math.inf if price is None else price, -entry.greatest


def _entry(rows: pd.DataFrame, weigh: Weigh, prices: Mapping[str, float], users: int | None) -> Entry:
    usable = rows[rows["verdict"] != "invalid"].sort_values("concurrency")
    levels = [weigh(row) for row in usable.to_dict("records")]
    answer, shape = found(levels, least=1), str(rows["shape"].iloc[0])

    def costs(bears: int) -> Costs:
        return Costs(bears, _tokens_per_s(usable, bears), prices.get(shape), users)

    greatest, keeps, fails = answer.greatest or 0, answer.surely_keeps, answer.surely_fails
    return Entry(
        run_id=str(rows["run_id"].iloc[0]),
        shape=shape,
        costs=costs(greatest),
        refused=_next(levels, greatest),
        limited_by=answer.limited_by,
        at_worst=costs(keeps) if keeps else None,
        at_best=costs(fails - 1) if fails and fails > 1 else None,
    )


def _next(levels: Sequence[Evidence], greatest: int) -> int | None:
    return min((level.concurrency for level in levels if level.concurrency > greatest), default=None)


def _tokens_per_s(levels: pd.DataFrame, concurrency: int) -> float | None:
    """Measured at that level, or on the line between its neighbours."""
    known = levels.dropna(subset=["system_tokens_per_s"])
    if not concurrency or known.empty:
        return None
    line = known.set_index("concurrency")["system_tokens_per_s"].astype(float)
    return float(np.interp(concurrency, line.index, line))


def on_the_front(points: pd.DataFrame, more: str, less: str) -> "pd.Series[bool]":
    """Which points no other beats in both: Pareto's front of as much of one column and as little of another."""
    ordered = (
        points.astype({more: float}).dropna(subset=[more, less]).sort_values([less, more], ascending=[True, False])
    )
    best_before = ordered[more].cummax().shift(fill_value=-math.inf)
    return (ordered[more] > best_before).reindex(points.index, fill_value=False)
