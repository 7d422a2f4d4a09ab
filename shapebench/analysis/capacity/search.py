"""Capacity search: the next level to measure, and the result, as pure functions of the levels measured so far.

A server that misses an SLO with N streams is assumed to miss it with more. The search multiplies the level until
one misses an SLO, then bisects: by the number of streams below KNEE, by their ratio above, until the result is within
TOLERANCE. A level whose interval includes a bound is measured once more, for longer, and so is one without usable
numbers, MAX_REPEATS times in all; after that the sign of its margin decides.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self, TypedDict

from shapebench.runs.records import Status
from shapebench.spec.slo import LevelResult

MAX_LEVELS = 10
MAX_REPEATS = 3
LEAP = 8
TOLERANCE = 0.03
KNEE = 1 / TOLERANCE  # streams of which one is the tolerance


@dataclass(frozen=True)
class Outcome:
    """One measurement of a level: its smallest margin to any SLO, as a share of the bound; NaN: not usable.

    `low` and `high` are the ends of the margin's 95 % interval, `slo` is the SLO of the smallest margin.
    """

    concurrency: int
    margin: float
    low: float
    high: float
    slo: str

    @classmethod
    def of_level(cls, level: LevelResult, verdict: Status) -> Self:
        """Summarise a level's result; an invalid level, or one that lacks a number, is not usable."""
        if verdict == "invalid" or not level.is_known or not level.results:
            return cls(level.concurrency, math.nan, math.nan, math.nan, "")
        tightest = min(level.results, key=lambda result: result.margin)
        low = min(result.margins[0] for result in level.results)
        high = min(result.margins[1] for result in level.results)
        return cls(level.concurrency, tightest.margin, low, high, str(tightest.slo))

    @property
    def is_usable(self) -> bool:
        return not math.isnan(self.margin)

    @property
    def passes(self) -> bool:
        return self.margin >= 0

    @property
    def passes_with_confidence(self) -> bool:
        return self.low >= 0

    @property
    def fails_with_confidence(self) -> bool:
        return self.high < 0

    @property
    def is_uncertain(self) -> bool:
        return self.is_usable and not (self.passes_with_confidence or self.fails_with_confidence)


@dataclass(frozen=True)
class Step:
    """A level to measure; `again`: it was measured before; `longer`: its interval included a bound."""

    concurrency: int
    again: bool = False
    longer: bool = False


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    `greatest` is the highest concurrency that meets all SLOs, 0 if one stream does not, None if it is unknown. Its 95 %
    interval goes from `confident_pass`, the greatest that meets them with 95 % confidence, to `confident_fail`, the
    lowest that misses one with that confidence; None where there is none. `limited_by` is the SLO that the level above
    misses, `unusable` are levels without usable numbers.
    """

    greatest: int | None
    confident_pass: int | None
    confident_fail: int | None
    limited_by: str | None
    unusable: tuple[int, ...] = ()

    @classmethod
    def from_row(cls, row: "SearchColumns") -> Self:
        """Read a row of the view `searches`."""
        levels = row["greatest_concurrency"], row["confident_pass"], row["confident_fail"]
        return cls(*levels, row["limited_by"], tuple(row["unusable"]))


class SearchColumns(TypedDict):
    """The result's columns in the view `searches`."""

    greatest_concurrency: int | None
    confident_pass: int | None
    confident_fail: int | None
    limited_by: str | None
    unusable: list[int]
    min_level: int
    max_level: int


def next_step(measured: Sequence[Outcome], min_level: int, max_level: int) -> Step | None:
    """Choose the next level between two numbers of streams; None: the search is over."""
    if measured and _is_worth_repeating(measured):
        return Step(measured[-1].concurrency, again=True, longer=measured[-1].is_uncertain)
    levels = _last_of_each(measured)
    if len(levels) >= MAX_LEVELS:
        return None
    passing, failing = _bracket(levels, min_level)
    if failing is None:
        return None if passing >= max_level else Step(min(max_level, max(passing, 1) * LEAP))
    is_settled = failing == min_level or (passing >= min_level and failing - 1 - passing <= TOLERANCE * passing)
    return None if is_settled else Step(_middle(passing, failing))


def search_result(measured: Iterable[Outcome], min_level: int) -> SearchResult:
    """Summarise all levels; of one that was measured more than once, the last measurement counts."""
    levels = _last_of_each(measured)
    passing, failing = _bracket(levels, min_level)
    confident_passes = [o.concurrency for o in levels if o.passes_with_confidence and o.concurrency <= passing]
    confident_fails = [o.concurrency for o in levels if o.fails_with_confidence and o.concurrency > passing]
    limiting = next((o for o in levels if o.concurrency == failing and o.is_usable), None)
    return SearchResult(
        greatest=passing if passing >= min_level or min_level == 1 else None,
        confident_pass=max(confident_passes, default=None),
        confident_fail=min(confident_fails, default=None),
        limited_by=limiting.slo if limiting else None,
        unusable=tuple(o.concurrency for o in levels if not o.is_usable),
    )


def _last_of_each(measured: Iterable[Outcome]) -> list[Outcome]:
    last = {outcome.concurrency: outcome for outcome in measured}
    return [last[concurrency] for concurrency in sorted(last)]


def _bracket(levels: Sequence[Outcome], min_level: int) -> tuple[int, int | None]:
    """Return the highest level that passes, or the number below the lowest; and the next, failed or not usable."""
    failing = min((o.concurrency for o in levels if not o.passes), default=None)
    passing = [o.concurrency for o in levels if o.passes and (failing is None or o.concurrency < failing)]
    return max(passing, default=min_level - 1), failing


def _is_worth_repeating(measured: Sequence[Outcome]) -> bool:
    """Check whether a level may be repeated: once, since unusable numbers may have been bad luck."""
    last = measured[-1]
    times = [outcome.concurrency for outcome in measured].count(last.concurrency)
    repeats = len(measured) - len(_last_of_each(measured))
    return times == 1 and repeats < MAX_REPEATS and (last.is_uncertain or not last.is_usable)


def _middle(passing: int, failing: int) -> int:
    """Return the level in the middle: on a linear scale below the knee, on a logarithmic one above."""
    middle = (_tolerances(passing) + _tolerances(failing)) / 2
    streams = middle if middle <= KNEE else KNEE * math.exp(middle / KNEE - 1)
    return min(max(round(streams), passing + 1), failing - 1)


def _tolerances(streams: int) -> float:
    return streams if streams <= KNEE else KNEE * (1 + math.log(streams / KNEE))
