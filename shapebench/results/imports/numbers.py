"""Other tools' numbers under our metrics' names, in seconds and tokens, marked where their definition differs.

Only the definition counts: what is measured, from when to when. The accuracy of a tool's clock and client is unknown,
so every imported level is suspect.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shapebench.analysis.summary import STAT_FUNCTIONS, may_be_claimed
from shapebench.results.imports.json_model import ImportFileError
from shapebench.spec import metric_definitions

Differs = Mapping[str, str]  # metric -> in what the tool's definition is another than ours


@dataclass(frozen=True)
class Number:
    """One number of a level; `differs` says how its definition differs from ours; None if it does not."""

    metric: str
    stat: str
    value: float
    sample_count: int | None = None
    differs: str | None = None


@dataclass(frozen=True)
class Summarised:
    """A tool's summary of a metric, whose standard deviation divides by n."""

    sample_count: int | None
    factor: float = 1  # from its unit to ours
    differs: str | None = None


def of_values(metric: str, values: Sequence[float], differs: str | None = None) -> list[Number]:
    """Compute every stat of a metric that has a value for each request or token."""
    if not values:
        return []
    stats = {name: float(stat(np.array(values, dtype=float))) for name, stat in STAT_FUNCTIONS.items()}
    return of_stats(metric, stats, len(values), differs)


def of_stats(
    metric: str, stats: Mapping[str, float | None], sample_count: int | None, differs: str | None = None
) -> list[Number]:
    """Use stats that the tool computed; percentiles of too few, or of an unknown number of values, are withheld."""
    given = {name: value for name, value in stats.items() if value is not None and math.isfinite(value)}
    for name, value in given.items():
        if value < 0:
            raise ImportFileError(f"{metric} has a {name} of {value}, which is impossible")
    return [
        Number(metric, name, value, sample_count, differs)
        for name, value in given.items()
        if may_be_claimed(name, sample_count)
    ]


def of_given(
    metric: str, given: Mapping[str, float | None], names: Mapping[str, str], summarised: Summarised
) -> list[Number]:
    """Use the stats that a tool's summary has under its own names, in its own unit."""
    stats = {stat: times(given.get(theirs), summarised.factor) for stat, theirs in names.items()}
    stats["stddev"] = sample_stddev(stats.get("stddev"), summarised.sample_count)
    return of_stats(metric, stats, summarised.sample_count, summarised.differs)


def total(metric: str, value: float | None, differs: str | None = None) -> list[Number]:
    """Use a metric with one value for the level; no number if it is None."""
    return of_stats(metric, {metric_definitions.TOTAL: value}, None, differs)


def sample_stddev(of_population: float | None, count: int | None) -> float | None:
    """Convert a standard deviation over n to ours over n-1; None where n is unknown."""
    if of_population is None or count is None or count < 2:
        return None
    return of_population * math.sqrt(count / (count - 1))


def seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
