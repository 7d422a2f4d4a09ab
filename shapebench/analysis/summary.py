"""A level's metrics and their stats as rows, and which of them enough requests stand behind."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from shapebench.analysis import metrics
from shapebench.analysis.level_samples import is_completed
from shapebench.analysis.metrics import Values
from shapebench.analysis.sample_reader import Samples
from shapebench.runs.records import MetricRow
from shapebench.spec.metric_definitions import BOUNDS, DISTRIBUTIONS, PERCENTILES, STATS, TOTAL, TOTALS

PIECE = 1 << 16
DISTRIBUTION_VALUES: dict[str, Callable[[Samples], Values]] = {m.name: getattr(metrics, m.name) for m in DISTRIBUTIONS}
TOTAL_VALUES: dict[str, Callable[[Samples], float]] = {m.name: getattr(metrics, m.name) for m in TOTALS}


def _mean(values: Values) -> float:
    return float(np.mean(values, dtype=np.float64))


def _stddev(values: Values) -> float:
    """Sum by pieces: numpy would make an array of all deviations at once, wider than that of the values."""
    if len(values) < 2:
        return np.nan
    mean = _mean(values)
    pieces = np.array_split(values, 1 + len(values) // PIECE)
    return math.sqrt(sum(float(np.square(piece - np.float64(mean)).sum()) for piece in pieces) / (len(values) - 1))


def _percentile(p: int) -> Callable[[Values], float]:
    return lambda values: float(np.percentile(values, p, overwrite_input=True))


STAT_FUNCTIONS: dict[str, Callable[[Values], float]] = {
    "mean": _mean,
    "stddev": _stddev,
    "min": np.min,
    **{name: _percentile(p) for name, p in PERCENTILES.items()},
    "max": np.max,
}


def summarise(run_id: str, concurrency: int, samples: Samples) -> list[MetricRow]:
    """Compute every metric and stat of a level; what the samples do not tell is left out.

    The gaps of one answer resemble each other: however many there are, the sample count is that of the requests.
    """
    requests = int(is_completed(samples).sum())
    rows = []
    for metric in DISTRIBUTIONS:
        values = DISTRIBUTION_VALUES[metric.name](samples)
        if len(values):
            count = min(len(values), requests)
            for stat, function in STAT_FUNCTIONS.items():
                value = float(function(values))
                rows.append(MetricRow(run_id, concurrency, metric.name, stat, value, sample_count=count))
    totals = TOTAL_VALUES if requests else {"error_rate": metrics.error_rate}
    rows += [MetricRow(run_id, concurrency, name, TOTAL, float(function(samples))) for name, function in totals.items()]
    return [row for row in rows if np.isfinite(row.value)]


def min_samples(percentile: int) -> int:
    """Return how many values a percentile takes: five beyond it, 5/(1-p), and five before one below the median."""
    return math.ceil(5 * 100 / min(percentile, 100 - percentile))


def may_be_claimed(stat: str, sample_count: int | None) -> bool:
    """Return whether a stat has enough requests; None: their number is not known."""
    return stat not in PERCENTILES or (sample_count or 0) >= min_samples(PERCENTILES[stat])


def is_possible(row: MetricRow) -> bool:
    """Return whether a number lies within its metric's bounds; a standard deviation has none."""
    low, high = BOUNDS[row.metric]
    return row.stat == "stddev" or low <= row.value <= high


def metrics_object(rows: Sequence[MetricRow]) -> dict[str, float | dict[str, float | None] | None]:
    """Return a level's metrics as `measure --json` prints them: totals as numbers, distributions by stat."""
    values = {(row.metric, row.stat): row.value for row in rows}
    totals = {m.name: values.get((m.name, TOTAL)) for m in TOTALS}
    return {**totals, **{m.name: {stat: values.get((m.name, stat)) for stat in STATS} for m in DISTRIBUTIONS}}
