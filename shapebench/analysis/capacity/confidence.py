"""The 95 % intervals of the values that SLOs are evaluated on.

A percentile has the interval of its order statistics, a mean that of batch means, a share Wilson's; a throughput has
that of its steady window. With too few requests for any of them, the value may lie anywhere between the smallest and
the greatest of theirs. What is counted once for a level has no interval.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from shapebench.analysis import level_samples, metrics
from shapebench.analysis import percentile_intervals as intervals
from shapebench.analysis.percentile_intervals import Sliced
from shapebench.analysis.sample_reader import Samples
from shapebench.spec import metric_definitions
from shapebench.spec.slo import Interval, LevelResult, SloResult
from shapebench.support.batch_means import MIN_BATCHES, ratio_interval

FindInterval = Callable[[SloResult, Samples], Interval]


def with_confidence(level: LevelResult, samples: Samples | None) -> LevelResult:
    """Add the intervals of all values to a level's result; without samples it stays as it is."""
    if samples is None:
        return level
    return replace(level, results=tuple(_with_interval(result, samples) for result in level.results))


def _with_interval(result: SloResult, samples: Samples) -> SloResult:
    find = BY_STAT.get(result.slo.stat) or BY_METRIC.get(result.slo.metric)
    if find is None or not result.is_known:
        return result
    low, high = find(result, samples)
    return replace(result, low=min(low, result.value), high=max(high, result.value))


def _percentile_interval(result: SloResult, samples: Samples) -> Interval:
    level = _slices(result, samples)
    return intervals.interval(level, metric_definitions.PERCENTILES[result.slo.stat]) or _range(level)


def _mean_interval(result: SloResult, samples: Samples) -> Interval:
    level = _slices(result, samples)
    counts = np.bincount(level.slices)
    filled = counts > 0
    if filled.sum() < MIN_BATCHES:
        return _range(level)
    sums = np.bincount(level.slices, weights=level.latencies)
    mean = ratio_interval([*zip(sums[filled].tolist(), counts[filled].tolist(), strict=True)])
    return mean.mean - mean.half_width, mean.mean + mean.half_width


def _slices(result: SloResult, samples: Samples) -> Sliced:
    streams = samples.requests["stream"].nunique()
    if result.slo.metric == "inter_token_s":
        return intervals.slice_gaps(samples.file, streams)
    done = level_samples.completed(samples, "sent_at_ns", result.slo.metric).dropna().sort_values("sent_at_ns")
    return intervals.slice_requests(done[result.slo.metric].astype(float), streams)


def _range(level: Sliced) -> Interval:
    return float(level.latencies.min()), float(level.latencies.max())


def _throughput_interval(result: SloResult, samples: Samples) -> Interval:
    share = metrics.throughput_precision(samples)
    return (-math.inf, math.inf) if math.isnan(share) else (result.value * (1 - share), result.value * (1 + share))


def _share_interval(result: SloResult, samples: Samples) -> Interval:
    from scipy.stats import binomtest  # takes long to import

    requests = int(level_samples.is_measured(samples).sum())
    ends = binomtest(round(result.value * requests), requests).proportion_ci(method="wilson")
    return float(ends.low), float(ends.high)


BY_STAT: dict[str, FindInterval] = {
    "mean": _mean_interval,
    **dict.fromkeys(metric_definitions.PERCENTILES, _percentile_interval),
}
BY_METRIC: dict[str, FindInterval] = {
    **dict.fromkeys(("system_tokens_per_s", "steady_tokens_per_s", "requests_per_min"), _throughput_interval),
    **dict.fromkeys(("error_rate", "slo_attainment"), _share_interval),
}
