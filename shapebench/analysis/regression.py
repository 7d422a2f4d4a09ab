"""Regression check: is a run worse than those before it? One result from all rows of the macro `regressions`.

The macro tests each number separately, and among many, some lie outside their ranges by chance. Here the tests are
corrected for their number by Holm's procedure, which holds however the numbers correlate (Holm, Scandinavian Journal
of Statistics 6, 1979). So an unchanged run is called worse with a probability of at most `false_alarm_rate` in all,
not for each of its numbers.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from pydantic import Field

from shapebench.analysis.wording import METRICS, quantities
from shapebench.spec.metric_definitions import BETTER, HIGHER, TOTAL
from shapebench.spec.model import StrictModel
from shapebench.support.wording import users

Severity = Literal["none", "notice", "warning", "critical"]
Known = Literal["regression", "no-regression", "cannot-tell"]

MIN_RUNS = 3


class Row(TypedDict):
    """The columns of `regressions` that the check reads."""

    concurrency: int
    level_verdict: Literal["valid", "suspect", "invalid"]
    metric: str
    stat: str
    candidate: float
    baseline_mean: float
    baseline_runs: int
    change: float | None  # as a share of the baseline's mean
    effect_stddevs: float | None  # None: the earlier runs are all the same
    verdict: str


class Rule(StrictModel):
    """The rule by which a run counts as worse."""

    last_n: int = Field(
        10,
        ge=MIN_RUNS,
        le=1000,
        title="Earlier runs",
        description="Number of earlier runs of the same endpoint and workload to compare with.",
    )
    min_effect: float = Field(
        0.05, gt=0, lt=1, title="Smallest effect", description="Smallest change, as a share, that is a regression."
    )
    critical_change: float = Field(
        0.2, gt=0, lt=1, title="Critical change", description="Change, as a share, from which on it is critical."
    )
    false_alarm_rate: float = Field(
        0.01,
        gt=0,
        le=0.2,
        title="False alarm rate",
        description="Share of unchanged runs that may be reported as worse.",
    )


@dataclass(frozen=True)
class Worse:
    """A number that is worse beyond chance; `by` is a share of the mean of the earlier runs."""

    concurrency: int
    metric: str
    stat: str
    value: float
    before: float
    by: float

    def __str__(self) -> str:
        sign = "-" if BETTER[self.metric] == HIGHER else "+"
        stat = "" if self.stat == TOTAL else f" ({self.stat})"
        return f"{METRICS[self.metric].label}{stat} {sign}{self.by:.0%} at concurrency {self.concurrency}"


@dataclass(frozen=True)
class RegressionCheck:
    """Result of a check: what is known, its severity, and the reasons, in one line and in sentences."""

    known: Known
    severity: Severity
    headline: str
    sentences: tuple[str, ...]
    worse: tuple[Worse, ...] = ()


def check_regression(rows: Sequence[Row], rule: Rule) -> RegressionCheck:
    """Check a run by all its rows of `regressions`."""
    tested = [row for row in rows if row["verdict"] != "observed" and row["change"] is not None and _has_baseline(row)]
    worse = sorted(
        (_as_worse(row) for row in _beyond_chance(tested, rule.false_alarm_rate) if _worsening(row) > rule.min_effect),
        key=lambda number: -number.by,
    )
    invalid = _levels(row for row in rows if row["level_verdict"] == "invalid" and _has_baseline(row))
    outside = sum(row["verdict"] == "worse" for row in tested)
    severity: Severity = "notice" if outside else "none"
    if worse or invalid:
        severity = "critical" if any(number.by >= rule.critical_change for number in worse) else "warning"
    return RegressionCheck(
        known="regression" if worse else "cannot-tell" if invalid or not tested else "no-regression",
        severity=severity,
        headline=_headline(worse, invalid, tested),
        sentences=(
            *_findings(worse, invalid, outside, tested),
            *_method(tested, rule),
            *_new_levels(rows),
        ),
        worse=tuple(worse),
    )


def _headline(worse: Sequence[Worse], invalid: Sequence[int], tested: Sequence[Row]) -> str:
    if worse:
        others = f", and {len(worse) - 1} more" if len(worse) > 1 else ""
        return f"Worse than the runs before: {worse[0]}{others}"
    if invalid:
        return f"Cannot tell: with {users(*invalid)}, the numbers are invalid"
    if not tested:
        return f"Cannot tell: it takes {MIN_RUNS} earlier runs of the same endpoint and workload"
    return "No worse than the runs before"


def _findings(worse: Sequence[Worse], invalid: Sequence[int], outside: int, tested: Sequence[Row]) -> Iterator[str]:
    for number in worse:
        now, before = quantities(number.metric, number.value, number.before)
        yield f"{number}: {now}, where the mean was {before}."
    if invalid:
        yield f"With {users(*invalid)}, the numbers are invalid, and were not in earlier runs."
    if outside and not worse:
        yield f"Worse than their usual range: {outside} of {len(tested)}; chance explains some."


def _method(tested: Sequence[Row], rule: Rule) -> Iterator[str]:
    if tested:
        low, high = min(row["baseline_runs"] for row in tested), max(row["baseline_runs"] for row in tested)
        runs = f"{high}" if low == high else f"{low} to {high}"
        odds = f"false alarm rate: {rule.false_alarm_rate:.3g} at most"
        yield f"Numbers compared: {len(tested)}; earlier runs: {runs}; {odds}."


def _new_levels(rows: Sequence[Row]) -> Iterator[str]:
    if new := _levels(row for row in rows if not _has_baseline(row)):
        yield f"With {users(*new)}, some numbers have fewer than {MIN_RUNS} earlier runs."


def _has_baseline(row: Row) -> bool:
    return row["baseline_runs"] >= MIN_RUNS


def _beyond_chance(rows: Sequence[Row], false_alarm_rate: float) -> Iterator[Row]:
    """Select numbers by Holm's procedure, from the least likely on."""
    ordered = sorted(((_likelihood(row), row) for row in rows), key=lambda pair: pair[0])
    for tested, (likelihood, row) in enumerate(ordered):
        if likelihood > false_alarm_rate / (len(rows) - tested):
            return
        yield row


def _likelihood(row: Row) -> float:
    """Return the p-value of the number of one more run: Student's t, one-sided."""
    from scipy.stats import t  # takes most of a second to import

    runs, effect = row["baseline_runs"], row["effect_stddevs"]
    if effect is None:
        return 0.0 if _worsening(row) > 0 else 1.0
    return float(t.sf(math.copysign(effect, _worsening(row)) / math.sqrt(1 + 1 / runs), runs - 1))


def _worsening(row: Row) -> float:
    """Return how much worse a number is, as a share; better is negative."""
    change = row["change"] or 0.0
    return -change if BETTER[row["metric"]] == HIGHER else change


def _as_worse(row: Row) -> Worse:
    return Worse(
        row["concurrency"], row["metric"], row["stat"], row["candidate"], row["baseline_mean"], _worsening(row)
    )


def _levels(rows: Iterable[Row]) -> list[int]:
    return sorted({row["concurrency"] for row in rows})
