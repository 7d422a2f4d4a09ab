"""Which level to measure next, and what those measured say: pure, a function of the evidence so far.

It is assumed that a server which does not keep an SLO with N streams does not with more. The search leaps up until a
level does not keep it, then halves what is between: by the number of streams below KNEE, by their ratio above, for the
answer is to be right within TOLERANCE. A level whose interval reaches across a bound is measured once more, for
longer, and so is one that says nothing, MOST_AGAIN times in all; after that the sign of its margin decides.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

MOST_LEVELS = 10
MOST_AGAIN = 3
LEAP = 8
TOLERANCE = 0.03
KNEE = 1 / TOLERANCE  # streams of which one is the tolerance


@dataclass(frozen=True)
class Evidence:
    """What one measurement of a level says: the least margin to any SLO, as a share of the bound; NaN: nothing.

    `low` and `high` are the ends of its 95 % interval, `slo` is the SLO of the least margin.
    """

    concurrency: int
    margin: float
    low: float
    high: float
    slo: str

    @property
    def is_usable(self) -> bool:
        return not math.isnan(self.margin)

    @property
    def keeps(self) -> bool:
        return self.margin >= 0

    @property
    def surely_keeps(self) -> bool:
        return self.low >= 0

    @property
    def surely_fails(self) -> bool:
        return self.high < 0

    @property
    def is_unclear(self) -> bool:
        return self.is_usable and not (self.surely_keeps or self.surely_fails)


@dataclass(frozen=True)
class Step:
    """A level to measure; `again`: it has been measured, and `longer`: its interval reached across a bound."""

    concurrency: int
    again: bool = False
    longer: bool = False


@dataclass(frozen=True)
class Found:
    """What the levels measured say.

    `greatest` is the greatest concurrency that keeps all SLOs, 0 where one stream does not, None where that is not
    known. Its 95 % interval goes from the greatest that surely keeps them to the least that surely does not, None
    where there is none. `limited_by` is the SLO that the level above fails, `unusable` are levels that say nothing.
    """

    greatest: int | None
    surely_keeps: int | None
    surely_fails: int | None
    limited_by: str | None
    unusable: tuple[int, ...] = ()

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """As the view `searches` has it."""
        numbers = row["greatest_concurrency"], row["surely_keeps"], row["surely_fails"]
        return cls(*numbers, row["limited_by"], tuple(row["unusable"]))


def next_step(measured: Sequence[Evidence], least: int, most: int) -> Step | None:
    """Where to look next, between two numbers of streams; None: there is nothing more to find."""
    if measured and _deserves_another(measured):
        return Step(measured[-1].concurrency, again=True, longer=measured[-1].is_unclear)
    if len(_last_of_each(measured)) >= MOST_LEVELS:
        return None
    keeps, fails = _bracket(measured, least)
    if fails is None:
        return None if keeps >= most else Step(min(most, max(keeps, 1) * LEAP))
    return None if _is_settled(keeps, fails, least) else Step(_middle(keeps, fails))


def found(measured: Iterable[Evidence], least: int) -> Found:
    """The answer of all levels; of one that was measured more than once, the last measurement counts."""
    levels = _last_of_each(measured)
    keeps, fails = _bracket(levels, least)
    surely_keeps = [one.concurrency for one in levels if one.surely_keeps and one.concurrency <= keeps]
    surely_fails = [one.concurrency for one in levels if one.surely_fails and one.concurrency > keeps]
    failing = next((one for one in levels if one.concurrency == fails and one.is_usable), None)
    return Found(
        greatest=keeps if keeps >= least or least == 1 else None,
        surely_keeps=max(surely_keeps, default=None),
        surely_fails=min(surely_fails, default=None),
        limited_by=failing.slo if failing else None,
        unusable=tuple(one.concurrency for one in levels if not one.is_usable),
    )


def _last_of_each(measured: Iterable[Evidence]) -> list[Evidence]:
    last = {one.concurrency: one for one in measured}
    return [last[concurrency] for concurrency in sorted(last)]


def _bracket(measured: Iterable[Evidence], least: int) -> tuple[int, int | None]:
    """The greatest that keeps the SLOs, or the number before the least; and the next, which fails, or says nothing."""
    levels = _last_of_each(measured)
    fails = min((one.concurrency for one in levels if not one.keeps), default=None)
    kept = [one.concurrency for one in levels if one.keeps and (fails is None or one.concurrency < fails)]
    return max(kept, default=least - 1), fails


def _deserves_another(measured: Sequence[Evidence]) -> bool:
    """Once; what said nothing may have been bad luck."""
    last = measured[-1]
    times = [one.concurrency for one in measured].count(last.concurrency)
    again = len(measured) - len(_last_of_each(measured))
    return times == 1 and again < MOST_AGAIN and (last.is_unclear or not last.is_usable)


def _is_settled(keeps: int, fails: int, least: int) -> bool:
    """Is whatever lies between within the tolerance?"""
    return fails == least or (keeps >= least and fails - 1 - keeps <= TOLERANCE * keeps)


def _middle(keeps: int, fails: int) -> int:
    middle = _streams((_place(keeps) + _place(fails)) / 2)
    return min(max(round(middle), keeps + 1), fails - 1)


def _place(streams: int) -> float:
    """On a scale whose unit is what is tolerated: a stream below the knee, a share of them above."""
    return streams if streams <= KNEE else KNEE * (1 + math.log(streams / KNEE))


def _streams(place: float) -> float:
    return place if place <= KNEE else KNEE * math.exp(place / KNEE - 1)
