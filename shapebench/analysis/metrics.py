"""From samples to metrics: a function for each metric of `spec/metric_definitions.py`, and the stats of its values."""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from shapebench.analysis.level_precision import of_samples
from shapebench.analysis.level_samples import completed, ended_ns, is_completed, is_measured, measured, steady_window_ns
from shapebench.analysis.sample_reader import Samples
from shapebench.runs.records import MetricRow
from shapebench.server_metrics.reconcile import Account, mean_ttft_s, same_ttfts
from shapebench.spec.metric_definitions import (
    BOUNDS,
    DISTRIBUTIONS,
    LOWER,
    OF_EACH_REQUEST,
    PERCENTILES,
    STATS,
    TOTAL,
    TOTALS,
)

Values = npt.NDArray[np.floating[Any]]


def _mean(values: Values) -> float:
    return float(np.mean(values, dtype=np.float64))


def _stddev(values: Values) -> float:
    """By pieces: numpy would make an array of all deviations at once, wider than that of the values."""
    if len(values) < 2:
        return np.nan
    mean = _mean(values)
    pieces = np.array_split(values, 1 + len(values) // PIECE)
    return math.sqrt(sum(float(np.square(piece - np.float64(mean)).sum()) for piece in pieces) / (len(values) - 1))


def _percentile(p: int) -> Callable[[Values], float]:
    return lambda values: float(np.percentile(values, p, overwrite_input=True))


PIECE = 1 << 16
STAT_FUNCTIONS: dict[str, Callable[[Values], float]] = {
    "mean": _mean,
    "stddev": _stddev,
    "min": np.min,
    **{name: _percentile(p) for name, p in PERCENTILES.items()},
    "max": np.max,
}


def column(name: str) -> Callable[[Samples], Values]:
    return lambda samples: completed(samples, name)[name].dropna().to_numpy(dtype=float, copy=True)


def inter_token_s(samples: Samples) -> Values:
    """Gaps between token-bearing chunks; a chunk of k tokens counts k times a k-th of its gap."""
    return samples.gaps_s(is_completed(samples).to_numpy())


def wall_s(samples: Samples) -> float:
    """First send of a measured request to the last arrival of a completed one."""
    done, begun_ns = completed(samples, "sent_at_ns", "e2e_s"), measured(samples, "sent_at_ns")["sent_at_ns"].min()
    sent_s = (done["sent_at_ns"] - begun_ns) / 1e9  # since 1970 a float is 256 ns coarse
    return float((sent_s + done["e2e_s"]).max())


def system_tokens_per_s(samples: Samples) -> float:
    return float(column("output_tokens")(samples).sum() / wall_s(samples))


def requests_per_min(samples: Samples) -> float:
    return 60 * int(is_completed(samples).sum()) / wall_s(samples)


def error_rate(samples: Samples) -> float:
    asked = int(is_measured(samples).sum())
    return 1 - int(is_completed(samples).sum()) / asked if asked else np.nan


def attained(samples: Samples) -> pd.DataFrame:
    """The completed requests that had all that was promised; an answer of one token has no time per token to miss."""
    done = completed(samples, *OF_EACH_REQUEST, "output_tokens")
    done["tpot_s"] = done["tpot_s"].where(done["output_tokens"] != 1, 0.0)
    for name, bound in (samples.slo_bounds or {}).items():
        meets = operator.le if OF_EACH_REQUEST[name] == LOWER else operator.ge
        done = done[meets(done[name], bound)]
    return done


def slo_attainment(samples: Samples) -> float:
    """A failed request had nothing of what was promised."""
    return len(attained(samples)) / int(is_measured(samples).sum())


def goodput_requests_per_s(samples: Samples) -> float:
    return len(attained(samples)) / wall_s(samples)


def goodput_tokens_per_s(samples: Samples) -> float:
    return float(attained(samples)["output_tokens"].sum() / wall_s(samples))


def as_promised(value: Callable[[Samples], float]) -> Callable[[Samples], float]:
    """A metric of the requests that had what was promised; NaN where nobody knows what was."""
    return lambda samples: np.nan if samples.slo_bounds is None else value(samples)


def steady_tokens_per_s(samples: Samples) -> float:
    """Tokens that arrived inside the steady window, whichever request they belong to, over its length."""
    start_ns, end_ns = steady_window_ns(samples)
    if end_ns <= start_ns:
        return np.nan
    length_s = (end_ns - start_ns) / 1e9
    inside = (tokens[(at_s >= 0) & (at_s < length_s)].sum() for at_s, tokens in samples.arrivals(start_ns))
    return float(sum(inside) / length_s)


def steady_s(samples: Samples) -> float:
    start_ns, end_ns = steady_window_ns(samples)
    return (end_ns - start_ns) / 1e9 if end_ns > start_ns else np.nan


def mean_concurrency(samples: Samples) -> float:
    """Requests in flight on average while requests were measured, by Little's law: the sum of their times over it."""
    mine = measured(samples, "sent_at_ns", "ended_s")
    begun_ns = mine["sent_at_ns"]
    length_s = ((begun_ns - begun_ns.min()) / 1e9 + mine["ended_s"]).max()
    return float(_in_flight_s(samples, begun_ns.min(), begun_ns.min() + round(length_s * 1e9)) / length_s)


def _in_flight_s(samples: Samples, start_ns: int, end_ns: int) -> float:
    """The time that all requests together spent in flight between two moments."""
    begun_ns = samples.requests["sent_at_ns"].clip(start_ns, end_ns)
    return float((ended_ns(samples).clip(start_ns, end_ns) - begun_ns).sum() / 1e9)


def held_concurrency(samples: Samples) -> float:
    """Requests in flight on average over the steady window; NaN where there is none."""
    start_ns, end_ns = steady_window_ns(samples)
    if end_ns <= start_ns:
        return np.nan
    return _in_flight_s(samples, start_ns, end_ns) * 1e9 / (end_ns - start_ns)


def ttft_precision(samples: Samples) -> float:
    found = of_samples(samples).ttft
    return found.relative if found else np.nan


def throughput_precision(samples: Samples) -> float:
    found = of_samples(samples).throughput
    return found.relative if found else np.nan


def by_server(value: Callable[[Account], float]) -> Callable[[Samples], float]:
    """A metric that the server gives; NaN where it gives no account that can be used."""
    return lambda samples: value(samples.account) if samples.account and samples.account.is_usable else np.nan


def outside_server_s(samples: Samples) -> float:
    """Mean TTFT by our clock less that by the server's, of all requests, warm-up included: network and client.

    NaN where the server took others into its mean.
    """
    if samples.account is None or not same_ttfts(samples.requests, samples.account):
        return np.nan
    return mean_ttft_s(samples.requests) - samples.account.mean("ttft_s")


def prefix_cache_hit_rate(account: Account) -> float:
    queried = account.grown("prefix_cache_queried_tokens")
    return account.grown("prefix_cache_hit_tokens") / queried if queried > 0 else np.nan


DISTRIBUTION_VALUES: dict[str, Callable[[Samples], Values]] = {
    "ttft_s": column("ttft_s"),
    "e2e_s": column("e2e_s"),
    "inter_token_s": inter_token_s,
    "tpot_s": column("tpot_s"),
    "query_tokens_per_s": column("query_tokens_per_s"),
    "input_tokens": column("input_tokens"),
    "output_tokens": column("output_tokens"),
}
TOTAL_VALUES: dict[str, Callable[[Samples], float]] = {
    "system_tokens_per_s": system_tokens_per_s,
    "steady_tokens_per_s": steady_tokens_per_s,
    "steady_s": steady_s,
    "steady_concurrency": held_concurrency,
    "mean_concurrency": mean_concurrency,
    "ttft_precision": ttft_precision,
    "throughput_precision": throughput_precision,
    "requests_per_min": requests_per_min,
    "error_rate": error_rate,
    "slo_attainment": as_promised(slo_attainment),
    "goodput_requests_per_s": as_promised(goodput_requests_per_s),
    "goodput_tokens_per_s": as_promised(goodput_tokens_per_s),
    "server_ttft_s": by_server(lambda a: a.mean("ttft_s")),
    "ttft_outside_server_s": outside_server_s,
    "server_inter_token_s": by_server(lambda a: a.mean("inter_token_s")),
    "server_e2e_s": by_server(lambda a: a.mean("e2e_s")),
    "running_requests_max": by_server(lambda a: a.most("running_requests")),
    "waiting_requests_max": by_server(lambda a: a.most("waiting_requests")),
    "kv_cache_usage_max": by_server(lambda a: a.most("kv_cache_usage")),
    "preemptions": by_server(lambda a: a.grown("preemptions")),
    "prefix_cache_hit_rate": by_server(prefix_cache_hit_rate),
}


def summarise(run_id: str, concurrency: int, samples: Samples) -> list[MetricRow]:
    """Every metric and stat of one level; what the samples do not carry is left out.

    The gaps of one answer are alike: however many there are, what counts are the requests behind a number.
    """
    requests = int(is_completed(samples).sum())
    rows = [
        MetricRow(run_id, concurrency, m.name, stat, value, sample_count=min(len(values), requests))
        for m in DISTRIBUTIONS
        if len(values := DISTRIBUTION_VALUES[m.name](samples))
        for stat, value in _stats(values).items()
    ]
    rows += [MetricRow(run_id, concurrency, name, TOTAL, value) for name, value in _totals(samples).items()]
    return [row for row in rows if np.isfinite(row.value)]


def _totals(samples: Samples) -> dict[str, float]:
    if not is_completed(samples).any():
        return {"error_rate": error_rate(samples)}
    return {m.name: float(TOTAL_VALUES[m.name](samples)) for m in TOTALS}


def _stats(values: Values) -> dict[str, float]:
    return {name: float(stat(values)) for name, stat in STAT_FUNCTIONS.items()}


def needed_for(percentile: int) -> int:
    """Values that a percentile takes: five lie beyond it then, 5/(1-p), and five before one below the median."""
    return math.ceil(5 * 100 / min(percentile, 100 - percentile))


def may_be_claimed(stat: str, sample_count: int | None) -> bool:
    """Do enough requests stand behind it? None: nobody knows how many do."""
    return stat not in PERCENTILES or (sample_count or 0) >= needed_for(PERCENTILES[stat])


def possible(row: MetricRow) -> bool:
    """Does the number lie within its metric's bounds? A spread has none."""
    least, most = BOUNDS[row.metric]
    return row.stat == "stddev" or least <= row.value <= most


def as_object(rows: list[MetricRow]) -> dict[str, Any]:
    """A level's metrics as `measure --json` prints them: totals as numbers, distributions as objects of stats."""
    found = {(row.metric, row.stat): row.value for row in rows}
    totals = {m.name: found.get((m.name, TOTAL)) for m in TOTALS}
    return totals | {m.name: {stat: found.get((m.name, stat)) for stat in STATS} for m in DISTRIBUTIONS}
