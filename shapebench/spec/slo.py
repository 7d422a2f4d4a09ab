"""SLOs: what a level must give, such as `ttft_s p95 <= 0.5`; which levels give it, and by what margin."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from shapebench.spec import metric_definitions

FORM = re.compile(r"(?P<left>[\w ]*?\w)\s*(?P<sign><=|>=)\s*(?P<bound>[^\s<>=]+)")
EXAMPLES = "such as 'ttft_s p95 <= 0.5', 'query_tokens_per_s mean >= 10' or 'error_rate <= 0.01'"
UPWARDS = {"<=": 1, ">=": -1}  # which way a bound lies from a value that keeps it
WORST = {"<=": "max", ">=": "min"}  # the request that speaks for a percentile which too few requests carry
GOOD_SIGN = {metric_definitions.LOWER: "<=", metric_definitions.HIGHER: ">="}  # of a bound, by what is better


@dataclass(frozen=True)
class Slo:
    """A stat of a metric, and the bound that it is to keep; `stat` is "total" for a metric of one value for a level."""

    metric: str
    stat: str
    sign: str  # "<=" or ">="
    bound: float

    @property
    def column(self) -> str:
        """Its column in wide tables, such as level_summary."""
        return str(metric_definitions.column_name(self.metric, self.stat))

    def margin(self, value: float) -> float:
        """How far a value is on the right side of the bound, as a share of it; below 0 it is on the wrong one."""
        room = UPWARDS[self.sign] * (self.bound - value)
        if self.bound:
            return room / abs(self.bound)
        return room * math.inf if room else 0.0

    def __str__(self) -> str:
        named = self.metric if self.column == self.metric else f"{self.metric} {self.stat}"
        return f"{named} {self.sign} {self.bound:.15g}"


def parse(text: str) -> Slo:
    """Raises ValueError, which says what there is to choose from."""
    form = FORM.fullmatch(text.strip())
    if form is None:
        raise ValueError(f"an SLO is METRIC STAT <= BOUND, or >= for at least, {EXAMPLES}")
    metric, stat = _named(form["left"])
    return Slo(metric, stat, form["sign"], _bound(metric, stat, form["bound"]))


def _named(text: str) -> tuple[str, str]:
    """The metric and stat, written as two words or as one column's name: `ttft_s p95`, `ttft_s_p95`, `error_rate`."""
    column = "_".join(text.split())
    found = next((name for name in metric_definitions.BOUNDS if column == name or column.startswith(f"{name}_")), None)
    if found is None:
        totals, distributions = (
            ", ".join(m.name for m in of) for of in (metric_definitions.TOTALS, metric_definitions.DISTRIBUTIONS)
        )
        raise ValueError(f"there is no metric {text!r}; with a stat: {distributions}; without: {totals}")
    stat = column.removeprefix(found).removeprefix("_") or metric_definitions.TOTAL
    one_value = found in {m.name for m in metric_definitions.TOTALS}
    if one_value and stat != metric_definitions.TOTAL:
        raise ValueError(f"{found} has one value for a level, and no stat {stat!r}")
    if not one_value and stat not in metric_definitions.STATS:
        lacks = "needs a stat" if stat == metric_definitions.TOTAL else f"has no stat {stat!r}"
        raise ValueError(f"{found} {lacks}; there are {', '.join(metric_definitions.STATS)}")
    return found, stat


def _bound(metric: str, stat: str, text: str) -> float:
    number, percent = text.removesuffix("%"), text.endswith("%")
    try:
        bound = float(number) / (100 if percent else 1)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None
    least, most = (0, math.inf) if stat == "stddev" else metric_definitions.BOUNDS[metric]
    if not (math.isfinite(bound) and least <= bound <= most):
        raise ValueError(f"{metric} is never {text}: it lies between {least:g} and {most:g}")
    return bound


@dataclass(frozen=True)
class Held:
    """An SLO and what a level gave; NaN where the level has no such number.

    `low` and `high` are the ends of the value's 95 % interval, and the value itself where that is not known.
    """

    slo: Slo
    stat: str  # that was judged: the SLO's, or of the worst request, where its percentile is withheld
    value: float
    low: float
    high: float

    @property
    def margin(self) -> float:
        return self.slo.margin(self.value)

    @property
    def margins(self) -> tuple[float, float]:
        """The ends of the margin's interval, the lesser first."""
        low, high = sorted((self.slo.margin(self.low), self.slo.margin(self.high)))
        return low, high

    @property
    def is_known(self) -> bool:
        return not math.isnan(self.value)

    @property
    def passes(self) -> bool:
        return self.margin >= 0


@dataclass(frozen=True)
class Judged:
    """A level held against all SLOs."""

    concurrency: int
    held: tuple[Held, ...]

    @property
    def is_known(self) -> bool:
        return all(held.is_known for held in self.held)

    @property
    def passes(self) -> bool:
        return all(held.passes for held in self.held)

    @property
    def failed(self) -> tuple[Held, ...]:
        return tuple(held for held in self.held if not held.passes)

    @property
    def margin(self) -> float:
        """The least; NaN where one is not known."""
        return min((held.margin for held in self.held), default=math.inf) if self.is_known else math.nan


def judge(row: Mapping[Any, Any], slos: Iterable[Slo]) -> Judged:
    """Hold a row of level_summary against SLOs; where a percentile is withheld, the worst request speaks for it."""
    return Judged(int(row["concurrency"]), tuple(_held(row, slo) for slo in slos))


def judged(levels: pd.DataFrame, slos: Iterable[Slo]) -> list[Judged]:
    """As `judge`, of rows of level_summary in the order of concurrency."""
    slos = tuple(slos)
    rows = levels.sort_values("concurrency").to_dict("records")
    return [judge(row, slos) for row in rows]


def _held(row: Mapping[Any, Any], slo: Slo) -> Held:
    stat = slo.stat
    if math.isnan(_number(row, slo.column)) and stat in metric_definitions.PERCENTILES:
        stat = WORST[slo.sign]
    value = _number(row, metric_definitions.column_name(slo.metric, stat))
    return Held(slo, stat, value, low=value, high=value)


def _number(row: Mapping[Any, Any], column: str) -> float:
    value = row.get(column)
    return math.nan if value is None or pd.isna(value) else float(value)


def slo_bounds(slos: Iterable[Slo]) -> dict[str, float]:
    """What SLOs promise of each request, for the goodput: the tightest bound on each number that a request has.

    Whatever its stat: who wants 95 % of first tokens within 0.5 s counts as good the requests that had theirs by then.
    """
    bounds: dict[str, float] = {}
    for slo in slos:
        better = metric_definitions.OF_EACH_REQUEST.get(slo.metric)
        if better and slo.sign == GOOD_SIGN[better] and slo.stat != "stddev":
            tightest = min if slo.sign == "<=" else max
            bounds[slo.metric] = tightest(bounds.get(slo.metric, slo.bound), slo.bound)
    return bounds
