"""Several runs, on machines that may differ: which suits, for how many users, and at what price."""

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import pandas as pd

from shapebench.estimate.cost import cost_per_million_output_tokens

Row = Mapping[Hashable, Any]
Suits = Callable[[Row], bool]  # does a row of level_summary keep to what is asked?


@dataclass(frozen=True)
class Entry:
    """What one run says of its machine; costs are in the price's currency, and None where no price is known.

    `greatest` is the greatest concurrency that suits, `refused` the next one measured, which does not: None where all
    levels suit. The machine's true limit lies from the one to just below the other.
    """

    run_id: str
    shape: str
    greatest: int
    refused: int | None
    system_tokens_per_s: float | None  # at the greatest that suits
    price_per_hour: float | None
    users: int | None = None  # for whom there is to be room

    @property
    def per_million_output_tokens(self) -> float | None:
        if self.price_per_hour is None or not self.system_tokens_per_s:
            return None
        return cost_per_million_output_tokens(self.price_per_hour, self.system_tokens_per_s)

    @property
    def per_user_hour(self) -> float | None:
        return self.price_per_hour / self.greatest if self.price_per_hour is not None and self.greatest else None

    @property
    def per_user_hour_at_best(self) -> float | None:
        """If its limit lay just below the level that does not suit; None where there is none."""
        if self.per_user_hour is None or self.price_per_hour is None or self.refused is None:
            return None
        return self.price_per_hour / (self.refused - 1)

    @property
    def instances(self) -> int | None:
        return math.ceil(self.users / self.greatest) if self.users and self.greatest else None

    @property
    def fleet_per_hour(self) -> float | None:
        if self.price_per_hour is None or self.instances is None:
            return None
        return self.price_per_hour * self.instances

    @property
    def price(self) -> float | None:
        """What is compared: of all machines that it takes, or of one user's share where no number of users is given."""
        return self.fleet_per_hour if self.users else self.per_user_hour


@dataclass(frozen=True)
class Ranking:
    """The runs, the best first: the cheapest that suits, then those of unknown price by the users that they bear."""

    entries: tuple[Entry, ...]
    users: int | None = None

    @property
    def best(self) -> Entry | None:
        return self.entries[0] if self.entries and self.entries[0].greatest else None

    def headline(self, named: Mapping[str, str]) -> str:
        if self.best is None:
            return "None of them suits even the lowest level that was measured"
        name = named[self.best.run_id]
        if self.best.price is None:
            return f"{name} suits most users: {self.best.greatest:,}"
        cheapest = f"{name} is the cheapest that suits"
        return f"{cheapest}: {self.best.instances:,} for {self.users:,} users" if self.users else cheapest

    def sentences(self, named: Mapping[str, str]) -> tuple[str, ...]:
        """The grounds, by run, as plain text."""
        return tuple(_grounds(entry, named[entry.run_id]) for entry in self.entries)


def _grounds(entry: Entry, name: str) -> str:
    if not entry.greatest:
        return f"{name} does not suit, even at the lowest level that was measured."
    upward = f", but not {entry.refused:,}" if entry.refused else ", and perhaps more: no higher level was measured"
    suits = f"{name} suits {entry.greatest:,} users at once{upward}"
    if entry.per_user_hour is None:
        return f"{suits}; its price is not known."
    below = f", {entry.per_user_hour_at_best:,.4f} if its limit lies just below" if entry.per_user_hour_at_best else ""
    fleet = f"; {entry.instances:,} of them cost {entry.fleet_per_hour:,.2f} an hour" if entry.instances else ""
    return f"{suits}; a user costs {entry.per_user_hour:,.4f} an hour{below}{fleet}."


def ranking(levels: pd.DataFrame, suits: Suits, prices: Mapping[str, float], users: int | None = None) -> Ranking:
    """Rank the runs of rows of level_summary; `prices` are of an hour of each shape."""
    entries = [_entry(rows, suits, prices, users) for _, rows in levels.groupby("run_id", sort=False)]
    return Ranking(tuple(sorted(entries, key=_place)), users)


def _place(entry: Entry) -> tuple[bool, float, int]:
    return not entry.greatest, math.inf if entry.price is None else entry.price, -entry.greatest


def _entry(rows: pd.DataFrame, suits: Suits, prices: Mapping[str, float], users: int | None) -> Entry:
    usable = rows[rows["verdict"] != "invalid"].sort_values("concurrency").to_dict("records")
    suited = [*takewhile(suits, usable)]
    refused = int(usable[len(suited)]["concurrency"]) if len(suited) < len(usable) else None
    shape = str(rows["shape"].iloc[0])
    greatest = int(suited[-1]["concurrency"]) if suited else 0
    tokens_per_s = float(suited[-1]["system_tokens_per_s"]) if suited else None
    return Entry(str(rows["run_id"].iloc[0]), shape, greatest, refused, tokens_per_s, prices.get(shape), users)


def on_the_front(points: pd.DataFrame, more: str, less: str) -> "pd.Series[bool]":
    """Which points no other beats in both: Pareto's front of as much of one column and as little of another."""
    ordered = (
        points.astype({more: float}).dropna(subset=[more, less]).sort_values([less, more], ascending=[True, False])
    )
    best_before = ordered[more].cummax().shift(fill_value=-math.inf)
    return (ordered[more] > best_before).reindex(points.index, fill_value=False)
