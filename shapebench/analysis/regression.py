"""Is a run worse than those before it, and how bad is that? One answer from all rows of the macro `regressions`.

The macro judges each number by itself, and of many, one lies outside its range by chance. Here a number counts as worse
only if it is so beyond what chance does with as many numbers as there are: by Holm's procedure, which holds however the
numbers hang together (Holm, Scandinavian Journal of Statistics 6, 1979). So a run in which nothing has changed is
called worse with a probability of `by_chance` at most, and not once for each of its numbers.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from pydantic import Field

from shapebench.analysis.wording import quantities
from shapebench.spec.metric_definitions import BETTER, HIGHER, METRICS, TOTAL
from shapebench.spec.model import StrictModel
from shapebench.support.wording import users

Row = Mapping[str, Any]
Severity = Literal["none", "notice", "warning", "critical"]
Known = Literal["regression", "no-regression", "cannot-tell"]

LEAST_RUNS = 3
_LABELS = {metric.name: metric.label for metric in METRICS}


class Rule(StrictModel):
    """When a run counts as worse."""

    last_n: int = Field(
        10,
        ge=LEAST_RUNS,
        le=1000,
        title="Earlier runs",
        description="How many runs of the same endpoint and workload to hold it against.",
    )
    matters: float = Field(
        0.05, gt=0, lt=1, title="What matters", description="A smaller change, as a share, is no regression."
    )
    grave: float = Field(
        0.2, gt=0, lt=1, title="What is grave", description="From this change on, as a share, it is critical."
    )
    by_chance: float = Field(
        0.01,
        gt=0,
        le=0.2,
        title="False alarms",
        description="How often, of all runs in which nothing has changed, one may be called worse.",
    )


@dataclass(frozen=True)
class Worse:
    """A number that is worse than chance makes it; `by` is a share of the mean of the earlier runs."""

    concurrency: int
    metric: str
    stat: str
    value: float
    before: float
    by: float

    def __str__(self) -> str:
        sign = "-" if BETTER[self.metric] == HIGHER else "+"
        stat = "" if self.stat == TOTAL else f" ({self.stat})"
        return f"{_LABELS[self.metric]}{stat} {sign}{self.by:.0%} at concurrency {self.concurrency}"


@dataclass(frozen=True)
class Judgement:
    """What is known, how grave it is, and why: in one line, then in sentences."""

    known: Known
    severity: Severity
    headline: str
    sentences: tuple[str, ...]
    worse: tuple[Worse, ...] = ()


def judge(rows: Sequence[Row], rule: Rule) -> Judgement:
    """One judgement of all rows of `regressions` for a run."""
    found = _Found(tuple(rows), rule)
    return Judgement(found.known, found.severity, found.headline, tuple(found.sentences()), tuple(found.worse))


@dataclass(frozen=True)
class _Found:
    """What the rows amount to."""

    rows: tuple[Row, ...]
    rule: Rule

    @cached_property
    def tested(self) -> list[Row]:
        """Those that are judged at all, and have something to be held against."""
        return [row for row in self.rows if row["verdict"] != "observed" and row["change"] is not None and _known(row)]

    @cached_property
    def worse(self) -> list[Worse]:
        """Beyond chance, and by more than does not matter; the worst comes first."""
        beyond = [_as_worse(row) for row in _beyond_chance(self.tested, self.rule.by_chance)]
        return sorted((found for found in beyond if found.by > self.rule.matters), key=lambda found: -found.by)

    @cached_property
    def outside(self) -> int:
        """How many are worse where each is judged by itself."""
        return sum(row["verdict"] == "worse" for row in self.tested)

    @cached_property
    def lost(self) -> list[int]:
        """Levels that are invalid now and were not before."""
        return _levels(row for row in self.rows if row["level_verdict"] == "invalid" and _known(row))

    @property
    def known(self) -> Known:
        return "regression" if self.worse else "cannot-tell" if self.lost or not self.tested else "no-regression"

    @property
    def severity(self) -> Severity:
        if any(found.by >= self.rule.grave for found in self.worse):
            return "critical"
        if self.worse or self.lost:
            return "warning"
        return "notice" if self.outside else "none"

    @property
    def headline(self) -> str:
        if self.worse:
            others = f", and {len(self.worse) - 1} more" if len(self.worse) > 1 else ""
            return f"Worse than the runs before: {self.worse[0]}{others}"
        if self.lost:
            return f"Cannot tell: with {users(*self.lost)}, the numbers are invalid"
        if not self.tested:
            return f"Cannot tell: it takes {LEAST_RUNS} earlier runs of the same endpoint and workload"
        return "No worse than the runs before"

    def sentences(self) -> Iterator[str]:
        for found in self.worse:
            now, before = quantities(found.metric, found.value, found.before)
            yield f"{found}: {now}, where the mean was {before}."
        if self.lost:
            yield f"With {users(*self.lost)}, the numbers are invalid, and were not in earlier runs."
        if self.outside and not self.worse:
            yield f"Worse than usual, each by itself: {self.outside} of {len(self.tested)}; some are by chance."
        if self.tested:
            fewest, most = (pick(row["baseline_runs"] for row in self.tested) for pick in (min, max))
            runs = f"{most}" if fewest == most else f"{fewest} to {most}"
            odds = f"the odds of calling a run worse are {self.rule.by_chance:.3g} at most"
            yield f"Numbers compared: {len(self.tested)}, earlier runs: {runs}; where nothing has changed, {odds}."
        if new := _levels(row for row in self.rows if not _known(row)):
            yield f"With {users(*new)}, some numbers have fewer than {LEAST_RUNS} earlier runs."


def _known(row: Row) -> bool:
    return bool(row["baseline_runs"] >= LEAST_RUNS)


def _beyond_chance(rows: Sequence[Row], by_chance: float) -> Iterator[Row]:
    """Holm: the least likely number is held against all of them, the next against those that are left, and so on."""
    for left, (likelihood, row) in enumerate(sorted(((_likelihood(r), r) for r in rows), key=lambda pair: pair[0])):
        if likelihood > by_chance / (len(rows) - left):
            return
        yield row


def _likelihood(row: Row) -> float:
    """That chance alone makes the number of one more run as bad as this one: Student's t, of one side."""
    from scipy.stats import t  # takes most of a second to import

    runs, effect = row["baseline_runs"], row["effect_stddevs"]
    if effect is None:  # the earlier runs are all alike
        return 0.0 if _by(row) > 0 else 1.0
    return float(t.sf(math.copysign(effect, _by(row)) / math.sqrt(1 + 1 / runs), runs - 1))


def _by(row: Row) -> float:
    """How much worse, as a share; better is negative."""
    return float(-row["change"] if BETTER[row["metric"]] == HIGHER else row["change"])


def _as_worse(row: Row) -> Worse:
    return Worse(row["concurrency"], row["metric"], row["stat"], row["candidate"], row["baseline_mean"], _by(row))


def _levels(rows: Iterable[Row]) -> list[int]:
    return sorted({row["concurrency"] for row in rows})
