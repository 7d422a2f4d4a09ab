"""Several runs, on machines that may differ: which meets the SLOs, for how many users, and at what price."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from shapebench.analysis.capacity.search import Outcome, search_result
from shapebench.sizing.estimate.cost import cost_per_million_output_tokens


@dataclass(frozen=True)
class Costs:
    """The costs of a machine that sustains so many users; None where no price, or no number of users, is known."""

    concurrency: int
    tokens_per_s: float | None  # of all of them together
    price_per_hour: float | None
    users: int | None = None  # of the whole fleet

    @property
    def per_million_output_tokens(self) -> float | None:
        if self.price_per_hour is None or not self.tokens_per_s:
            return None
        return cost_per_million_output_tokens(self.price_per_hour, self.tokens_per_s)

    @property
    def per_user_hour(self) -> float | None:
        return self.price_per_hour / self.concurrency if self.price_per_hour is not None and self.concurrency else None

    @property
    def instances(self) -> int | None:
        return math.ceil(self.users / self.concurrency) if self.users and self.concurrency else None

    @property
    def fleet_per_hour(self) -> float | None:
        if self.price_per_hour is None or self.instances is None:
            return None
        return self.price_per_hour * self.instances

    @property
    def price(self) -> float | None:
        """The price that is compared: that of the fleet, or of one user where no number of users is given."""
        return self.fleet_per_hour if self.users else self.per_user_hour


DERIVED = ("per_million_output_tokens", "per_user_hour", "instances", "fleet_per_hour")


@dataclass(frozen=True)
class Entry:
    """The result of one run's machine.

    `costs` are at the highest concurrency that meets all SLOs. `failing` is the next one measured, None where all
    levels meet them. With 95 % confidence the true limit lies from the greatest level that meets them with that
    confidence (`at_worst`) to just below the lowest that misses one (`at_best`); None where there is no such level.
    """

    run_id: str
    shape: str
    costs: Costs
    failing: int | None = None
    limited_by: str | None = None  # the SLO with the smallest margin at that level
    at_worst: Costs | None = None
    at_best: Costs | None = None

    @property
    def greatest(self) -> int:
        return self.costs.concurrency

    def ends(self, name: str) -> tuple[float | None, float | None]:
        """Return one of the costs at the limit's best and at its worst; None where an end is not known."""
        best, worst = (getattr(costs, name) if costs else None for costs in (self.at_best, self.at_worst))
        return best, worst

    def as_object(self) -> dict[str, object]:
        """Return the entry as the commands print it; each `…_interval` is from the limit's best to its worst."""
        costs = self.costs
        numbers = {name: (getattr(costs, name), self.ends(name)) for name in DERIVED}
        return {
            "run_id": self.run_id,
            "shape": self.shape,
            "greatest": costs.concurrency,
            "greatest_interval": [self.ends("concurrency")[1], self.ends("concurrency")[0]],
            "refused": self.failing,
            "limited_by": self.limited_by,
            "system_tokens_per_s": costs.tokens_per_s,
            "price_per_hour": costs.price_per_hour,
            "users": costs.users,
            **{name: value for name, (value, _) in numbers.items()},
            **{f"{name}_interval": [*ends] for name, (_, ends) in numbers.items()},
        }


@dataclass(frozen=True)
class Ranking:
    """The runs, best first: those that meet the SLOs by price, then those of unknown price by their users."""

    entries: tuple[Entry, ...]
    users: int | None = None

    @property
    def best(self) -> Entry | None:
        return self.entries[0] if self.entries and self.entries[0].greatest else None

    @property
    def rivals(self) -> tuple[Entry, ...]:
        """Those that may be as cheap as the best, given the intervals of both limits."""
        if self.best is None or self.best.costs.price is None:
            return ()
        _, highest = self.best.ends("price")
        rivals = []
        for entry in self.entries[1:]:
            lowest, _ = entry.ends("price")
            if entry.costs.price is not None and (lowest is None or highest is None or lowest <= highest):
                rivals.append(entry)
        return tuple(rivals)


def ranking(
    levels: pd.DataFrame,
    outcomes: Mapping[str, Sequence[Outcome]],
    prices: Mapping[str, float],
    users: int | None = None,
) -> Ranking:
    """Rank the runs of rows of level_summary, by their levels' outcomes; `prices` are those of an hour of a shape."""
    entries = [_entry(rows, outcomes, prices, users) for _, rows in levels.groupby("run_id", sort=False)]
    return Ranking(tuple(sorted(entries, key=_order)), users)


def _order(entry: Entry) -> tuple[bool, float, int]:
    price = entry.costs.price
    return not entry.greatest, math.inf if price is None else price, -entry.greatest


def _entry(
    rows: pd.DataFrame, outcomes: Mapping[str, Sequence[Outcome]], prices: Mapping[str, float], users: int | None
) -> Entry:
    run_id, shape = str(rows["run_id"].iloc[0]), str(rows["shape"].iloc[0])
    levels = rows[rows["verdict"] != "invalid"].sort_values("concurrency")
    measured = [outcome for outcome in outcomes[run_id] if outcome.concurrency in set(levels["concurrency"])]
    result = search_result(measured, min_level=1)
    greatest, worst, above_best = result.greatest or 0, result.confident_pass, result.confident_fail

    def costs(concurrency: int) -> Costs:
        return Costs(concurrency, _tokens_per_s(levels, concurrency), prices.get(shape), users)

    return Entry(
        run_id=run_id,
        shape=shape,
        costs=costs(greatest),
        failing=min((o.concurrency for o in measured if o.concurrency > greatest), default=None),
        limited_by=result.limited_by,
        at_worst=costs(worst) if worst else None,
        at_best=costs(above_best - 1) if above_best and above_best > 1 else None,
    )


def _tokens_per_s(levels: pd.DataFrame, concurrency: int) -> float | None:
    """The system's throughput at that level, or on the line between its neighbours."""
    known = levels.dropna(subset=["system_tokens_per_s"])
    if not concurrency or known.empty:
        return None
    line = known.set_index("concurrency")["system_tokens_per_s"].astype(float)
    return float(np.interp(concurrency, line.index, line))


def on_the_front(points: pd.DataFrame, more: str, less: str) -> "pd.Series[bool]":
    """Select the Pareto front: points that no other beats in both as much of one column and as little of another."""
    ordered = (
        points.astype({more: float}).dropna(subset=[more, less]).sort_values([less, more], ascending=[True, False])
    )
    best_before = ordered[more].cummax().shift(fill_value=-math.inf)
    return (ordered[more] > best_before).reindex(points.index, fill_value=False)
