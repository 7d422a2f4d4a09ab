"""How surely a level keeps its SLOs: the 95 % intervals of what is held against their bounds.

A percentile's interval is that of its order statistics, a mean's that of batch means, a share's Wilson's; a throughput
has that of its steady window. Where too few requests stand behind a number to say, it may lie anywhere between the
least and the greatest of them. Of what is counted once for a level, the number is all there is.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from shapebench.analysis import level_samples, metrics
from shapebench.analysis import percentile_intervals as intervals
from shapebench.analysis.capacity.search import Evidence
from shapebench.analysis.percentile_intervals import Sliced
from shapebench.analysis.sample_reader import Samples
from shapebench.runs.records import Status
from shapebench.spec import metric_definitions
from shapebench.spec.slo import Held, Judged
from shapebench.support.batch_means import FEWEST_BATCHES, ratio_of

Ends = tuple[float, float]
Find = Callable[[Held, Samples], Ends]


def surely(judged: Judged, samples: Samples | None) -> Judged:
    """With the intervals of all that is held against a bound."""
    if samples is None:
        return judged
    return replace(judged, held=tuple(_surely(held, samples) for held in judged.held))


def evidence(judged: Judged, standing: Status) -> Evidence:
    """What the search takes a level for; an invalid one says nothing, nor does one without the numbers."""
    if standing == "invalid" or not judged.is_known or not judged.held:
        return Evidence(judged.concurrency, math.nan, math.nan, math.nan, "")
    tightest = min(judged.held, key=lambda held: held.margin)
    low, high = (min(ends) for ends in zip(*(held.margins for held in judged.held), strict=True))
    return Evidence(judged.concurrency, tightest.margin, low, high, str(tightest.slo))


def _surely(held: Held, samples: Samples) -> Held:
    if not held.is_known:
        return held
    find = BY_STAT.get(held.slo.stat) or BY_METRIC.get(held.slo.metric, _itself)
    low, high = find(held, samples)
    return replace(held, low=min(low, held.value), high=max(high, held.value))


def _itself(held: Held, _samples: Samples) -> Ends:
    return held.value, held.value


def _of_percentile(held: Held, samples: Samples) -> Ends:
    level = _sliced(held, samples)
    return intervals.interval(level, metric_definitions.PERCENTILES[held.slo.stat]) or _anywhere(level)


def _of_mean(held: Held, samples: Samples) -> Ends:
    level = _sliced(held, samples)
    counts = np.bincount(level.slices)
    some = counts > 0
    if some.sum() < FEWEST_BATCHES:
        return _anywhere(level)
    sums = np.bincount(level.slices, weights=level.latencies)
    found = ratio_of([*zip(sums[some].tolist(), counts[some].tolist(), strict=True)])
    return found.mean - found.half_width, found.mean + found.half_width


def _sliced(held: Held, samples: Samples) -> Sliced:
    streams = samples.requests["stream"].nunique()
    if held.slo.metric == "inter_token_s":
        return intervals.of_gaps(samples.file, streams)
    done = level_samples.completed(samples, "sent_at_ns", held.slo.metric).sort_values("sent_at_ns")
    return intervals.of_requests(done[held.slo.metric].astype(float), streams)


def _anywhere(level: Sliced) -> Ends:
    return float(level.latencies.min()), float(level.latencies.max())


def _of_throughput(held: Held, samples: Samples) -> Ends:
    within = metrics.throughput_precision(samples)
    return (-math.inf, math.inf) if math.isnan(within) else (held.value * (1 - within), held.value * (1 + within))


def _of_share(held: Held, samples: Samples) -> Ends:
    from scipy.stats import binomtest  # takes long to import

    asked = int(level_samples.is_measured(samples).sum())
    found = binomtest(round(held.value * asked), asked).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


BY_STAT: dict[str, Find] = {"mean": _of_mean, **dict.fromkeys(metric_definitions.PERCENTILES, _of_percentile)}
BY_METRIC: dict[str, Find] = {
    **dict.fromkeys(("system_tokens_per_s", "steady_tokens_per_s", "requests_per_min"), _of_throughput),
    **dict.fromkeys(("error_rate", "slo_attainment"), _of_share),
}
