"""SLOs, such as `ttft_s p95 <= 0.5`; which levels meet them, and by what margin."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, SupportsFloat

import pandas as pd

from shapebench.spec import metric_definitions

Sign = Literal["<=", ">="]
Interval = tuple[float, float]

FORM = re.compile(r"(?P<left>[\w ]*?\w)\s*(?P<sign><=|>=)\s*(?P<bound>[^\s<>=]+)")
EXAMPLES = "such as 'ttft_s p95 <= 0.5', 'query_tokens_per_s mean >= 10' or 'error_rate <= 0.01'"
DIRECTIONS = {"<=": 1, ">=": -1}  # of the bound, from a value that meets it
WORST = {"<=": "max", ">=": "min"}  # the request that is evaluated if a percentile is withheld
BOUND_SIGN: dict[metric_definitions.Direction, Sign] = {"lower": "<=", "higher": ">="}  # by which value is better


class LevelRow(Protocol):
    """A row of level_summary, as a dict of any kind."""

    def get(self, column: str, /) -> object: ...


@dataclass(frozen=True)
class Slo:
    """A stat of a metric and its bound; `stat` is "total" for a metric of one value for a level."""

    metric: str
    stat: str
    sign: Sign
    bound: float

    @property
    def column(self) -> str:
        """Its column in wide tables, such as level_summary."""
        return metric_definitions.column_name(self.metric, self.stat)

    def margin(self, value: float) -> float:
        """Return the distance of a value from the bound as a share of the bound; negative: the SLO is missed."""
        distance = DIRECTIONS[self.sign] * (self.bound - value)
        if self.bound:
            return distance / abs(self.bound)
        return distance * math.inf if distance else 0.0

    def __str__(self) -> str:
        name = self.metric if self.column == self.metric else f"{self.metric} {self.stat}"
        return f"{name} {self.sign} {self.bound:.15g}"


def parse(text: str) -> Slo:
    """Read an SLO such as `ttft_s p95 <= 0.5`; raises ValueError with the names to choose from."""
    form = FORM.fullmatch(text.strip())
    if form is None:
        raise ValueError(f"an SLO is METRIC STAT <= BOUND, or >= for a minimum, {EXAMPLES}")
    metric, stat = _parse_name(form["left"])
    return Slo(metric, stat, "<=" if form["sign"] == "<=" else ">=", _parse_bound(metric, stat, form["bound"]))


def _parse_name(text: str) -> tuple[str, str]:
    """Read a metric and stat, written as two words or as one column's name: `ttft_s p95`, `ttft_s_p95`."""
    column = "_".join(text.split())
    metric = next((name for name in metric_definitions.BOUNDS if column == name or column.startswith(f"{name}_")), None)
    totals = [m.name for m in metric_definitions.TOTALS]
    if metric is None:
        distributions = ", ".join(m.name for m in metric_definitions.DISTRIBUTIONS)
        raise ValueError(f"there is no metric {text!r}; with a stat: {distributions}; without: {', '.join(totals)}")
    stat = column.removeprefix(metric).removeprefix("_") or metric_definitions.TOTAL
    if metric in totals:
        if stat != metric_definitions.TOTAL:
            raise ValueError(f"{metric} has a single value per level, no stat {stat!r}")
    elif stat not in metric_definitions.STATS:
        problem = "needs a stat" if stat == metric_definitions.TOTAL else f"has no stat {stat!r}"
        raise ValueError(f"{metric} {problem}; there are {', '.join(metric_definitions.STATS)}")
    return metric, stat


def _parse_bound(metric: str, stat: str, text: str) -> float:
    number, percent = text.removesuffix("%"), text.endswith("%")
    try:
        bound = float(number) / (100 if percent else 1)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    low, high = (0, math.inf) if stat == "stddev" else metric_definitions.BOUNDS[metric]
    if not (math.isfinite(bound) and low <= bound <= high):
        raise ValueError(f"{metric} cannot be {text}: it is between {low:g} and {high:g}")
    return bound


@dataclass(frozen=True)
class SloResult:
    """A level's value for an SLO; NaN where the level has none.

    `low` and `high` are the ends of the value's 95 % interval, or the value itself if unknown.
    """

    slo: Slo
    stat: str  # that was evaluated: the SLO's, or that of the worst request where the percentile is withheld
    value: float
    low: float
    high: float

    @property
    def margin(self) -> float:
        return self.slo.margin(self.value)

    @property
    def margins(self) -> Interval:
        """The ends of the margin's interval."""
        low, high = sorted((self.slo.margin(self.low), self.slo.margin(self.high)))
        return low, high

    @property
    def is_known(self) -> bool:
        return not math.isnan(self.value)

    @property
    def passes(self) -> bool:
        return self.margin >= 0


@dataclass(frozen=True)
class LevelResult:
    """A level's results for all SLOs."""

    concurrency: int
    results: tuple[SloResult, ...]

    @property
    def is_known(self) -> bool:
        return all(result.is_known for result in self.results)

    @property
    def passes(self) -> bool:
        return all(result.passes for result in self.results)

    @property
    def missed(self) -> tuple[SloResult, ...]:
        return tuple(result for result in self.results if not result.passes)

    @property
    def margin(self) -> float:
        """The smallest margin; NaN where one is not known."""
        return min((result.margin for result in self.results), default=math.inf) if self.is_known else math.nan


def evaluate(
    row: LevelRow, slos: Iterable[Slo], intervals: Mapping[tuple[str, str], Interval] | None = None
) -> LevelResult:
    """Evaluate SLOs on a row of level_summary; if a percentile is withheld, on the worst request.

    `intervals` are the known 95 % intervals of values, by metric and stat.
    """
    results = tuple(_evaluate(row, slo, (intervals or {}).get((slo.metric, slo.stat))) for slo in slos)
    return LevelResult(int(_number(row, "concurrency")), results)


def evaluate_levels(levels: pd.DataFrame, slos: Iterable[Slo]) -> list[LevelResult]:
    """Evaluate SLOs on rows of level_summary, in the order of concurrency."""
    slos = tuple(slos)
    return [evaluate(row, slos) for row in levels.sort_values("concurrency").to_dict("records")]


def _evaluate(row: LevelRow, slo: Slo, interval: Interval | None) -> SloResult:
    stat = slo.stat
    if math.isnan(_number(row, slo.column)) and stat in metric_definitions.PERCENTILES:
        stat = WORST[slo.sign]
    value = _number(row, metric_definitions.column_name(slo.metric, stat))
    low, high = interval or (value, value)
    return SloResult(slo, stat, value, low=min(low, value), high=max(high, value))


def _number(row: LevelRow, column: str) -> float:
    value = row.get(column)
    return float(value) if isinstance(value, SupportsFloat) else math.nan


def slo_bounds(slos: Iterable[Slo]) -> dict[str, float]:
    """Return the strictest bound on each number that every request has, for the goodput.

    The stat is ignored: for `ttft_s p95 <= 0.5` the good requests are those with a TTFT of at most 0.5 s.
    """
    bounds: dict[str, float] = {}
    for slo in slos:
        better = metric_definitions.OF_EACH_REQUEST.get(slo.metric)
        if better and slo.sign == BOUND_SIGN[better] and slo.stat != "stddev":
            strictest = min if slo.sign == "<=" else max
            bounds[slo.metric] = strictest(bounds.get(slo.metric, slo.bound), slo.bound)
    return bounds
