"""The METRICS table: what is measured, in which unit, and how it follows from samples; all else derives from it.

Definitions: seconds throughout; `ttft_s` and `e2e_s` run from the request's first byte sent to the arrival of the
chunk that carries the first and the last token. Warm-up requests count nowhere but in `steady_tokens_per_s`.
"""

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from shapebench.analysis.sample_reader import Samples, read_requests
from shapebench.runs.records import MetricRow
from shapebench.server_metrics.reconcile import Account, mean_ttft_s, same_ttfts
from shapebench.spec.slo import OF_EACH_REQUEST
from shapebench.support.batch_means import of_samples

Values = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Distribution:
    """A metric with a value for each completed, measured request or its tokens.

    `values` takes all of a level's samples, and gives an array of its own, which the stats put in another order.
    """

    name: str
    label: str
    unit: str
    values: Callable[[Samples], Values]
    bounds: tuple[float, float] = (0, math.inf)  # what lies outside cannot be


@dataclass(frozen=True)
class Total:
    """A metric with one value for a level; `value` takes all its samples, and gives NaN where there is none."""

    name: str
    label: str
    unit: str
    value: Callable[[Samples], float]
    bounds: tuple[float, float] = (0, math.inf)  # what lies outside cannot be


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
PERCENTILES = {f"p{p}": p for p in (25, 50, 75, 90, 95, 99)}
STATS: dict[str, Callable[[Values], float]] = {
    "mean": _mean,
    "stddev": _stddev,
    "min": np.min,
    **{name: _percentile(p) for name, p in PERCENTILES.items()},
    "max": np.max,
}


def read(path: Path, account: Account | None = None, promised: Mapping[str, float] | None = None) -> Samples:
    """A level's samples with what follows from each alone: `ttft_s`, `e2e_s`, `tpot_s`, `query_tokens_per_s`.

    A failed request has none of these. `account` is the server's of the level; `promised` is as `slo.promised` has it.
    """
    requests = read_requests(path)
    done = requests["error_kind"].isna()
    requests["ttft_s"] = requests["first_token_s"].where(done)
    requests["e2e_s"] = requests["last_token_s"].where(done)
    output_tokens = requests["output_tokens"].astype(float)
    several = output_tokens.where(output_tokens > 1)  # one token alone has no time between tokens
    requests["tpot_s"] = (requests["e2e_s"] - requests["ttft_s"]) / (several - 1)
    requests["query_tokens_per_s"] = output_tokens / requests["e2e_s"]
    return Samples(requests, path, account, promised)


def column(name: str) -> Callable[[Samples], Values]:
    return lambda samples: completed(samples, name)[name].dropna().to_numpy(dtype=float, copy=True)


def is_measured(samples: Samples) -> "pd.Series[bool]":
    return ~samples.requests["warmup"]


def is_completed(samples: Samples) -> "pd.Series[bool]":
    return is_measured(samples) & samples.requests["error_kind"].isna()


def completed(samples: Samples, *names: str) -> pd.DataFrame:
    """All columns unless some are named: those of a million requests are much to copy."""
    return samples.requests.loc[is_completed(samples), list(names) or slice(None)]


def measured(samples: Samples, *names: str) -> pd.DataFrame:
    return samples.requests.loc[is_measured(samples), list(names) or slice(None)]


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


KEEPS = {"<=": operator.le, ">=": operator.ge}


def attained(samples: Samples) -> pd.DataFrame:
    """The completed requests that had all that was promised; an answer of one token has no time per token to miss."""
    done = completed(samples, *OF_EACH_REQUEST, "output_tokens")
    done["tpot_s"] = done["tpot_s"].where(done["output_tokens"] != 1, 0.0)
    for name, bound in (samples.promised or {}).items():
        done = done[KEEPS[OF_EACH_REQUEST[name]](done[name], bound)]
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
    return lambda samples: np.nan if samples.promised is None else value(samples)


def steady_window_ns(samples: Samples) -> tuple[int, int]:
    """From when every stream is past its warm-up to when the first has no more to do; it may be empty.

    In between all streams are busy: each sends its next request when it has the answer to the last.
    """
    streams, of_all = measured(samples, "stream", "sent_at_ns").groupby("stream"), samples.requests["stream"]
    if of_all.empty or len(streams) < of_all.nunique():
        return 0, 0  # a stream never got a measured request
    return int(streams["sent_at_ns"].min().max()), int(ended_ns(samples).groupby(of_all).max().min())


def ended_ns(samples: Samples) -> "pd.Series[int]":
    return samples.requests["sent_at_ns"] + (samples.requests["ended_s"] * 1e9).astype("int64")


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


METRICS: tuple[Distribution | Total, ...] = (
    Distribution("ttft_s", "Time to first token", "s", column("ttft_s")),
    Distribution("e2e_s", "End-to-end latency", "s", column("e2e_s")),
    Distribution("inter_token_s", "Time between tokens", "s", inter_token_s),
    Distribution("tpot_s", "Time per output token", "s", column("tpot_s")),
    Distribution("query_tokens_per_s", "Throughput of each query", "tokens/s", column("query_tokens_per_s")),
    Distribution("input_tokens", "Input tokens", "tokens", column("input_tokens"), bounds=(1, math.inf)),
    Distribution("output_tokens", "Output tokens", "tokens", column("output_tokens"), bounds=(1, math.inf)),
    Total("system_tokens_per_s", "System throughput", "tokens/s", system_tokens_per_s),
    Total("steady_tokens_per_s", "Steady throughput", "tokens/s", steady_tokens_per_s),
    Total("steady_s", "Steady window", "s", steady_s),
    Total("steady_concurrency", "Streams busy in the steady window", "streams", held_concurrency),
    Total("mean_concurrency", "Streams busy from first to last", "streams", mean_concurrency),
    Total("ttft_precision", "95% interval of the mean TTFT, plus or minus a share of it", "1", ttft_precision),
    Total("throughput_precision", "95% interval of the throughput, plus or minus a share", "1", throughput_precision),
    Total("requests_per_min", "Requests completed", "1/min", requests_per_min),
    Total("error_rate", "Error rate", "1", error_rate, bounds=(0, 1)),
    Total("slo_attainment", "Requests that had all that the SLOs promise", "1", as_promised(slo_attainment), (0, 1)),
    Total("goodput_requests_per_s", "Goodput", "requests/s", as_promised(goodput_requests_per_s)),
    Total("goodput_tokens_per_s", "Goodput in output tokens", "tokens/s", as_promised(goodput_tokens_per_s)),
    Total("server_ttft_s", "Mean time to first token by the server", "s", by_server(lambda a: a.mean("ttft_s"))),
    Total(
        "ttft_outside_server_s",
        "Mean time to first token spent in network and client",
        "s",
        outside_server_s,
        bounds=(-math.inf, math.inf),  # an expectation of its own says what it must not be
    ),
    Total(
        "server_inter_token_s",
        "Mean time between tokens by the server",
        "s",
        by_server(lambda a: a.mean("inter_token_s")),
    ),
    Total("server_e2e_s", "Mean end-to-end latency by the server", "s", by_server(lambda a: a.mean("e2e_s"))),
    Total(
        "running_requests_max",
        "Most requests running at the server",
        "requests",
        by_server(lambda a: a.most("running_requests")),
    ),
    Total(
        "waiting_requests_max",
        "Most requests waiting at the server",
        "requests",
        by_server(lambda a: a.most("waiting_requests")),
    ),
    Total("kv_cache_usage_max", "Fullest KV cache", "1", by_server(lambda a: a.most("kv_cache_usage"))),
    Total("preemptions", "Preemptions", "1", by_server(lambda a: a.grown("preemptions"))),
    Total("prefix_cache_hit_rate", "Prompt tokens found in the prefix cache", "1", by_server(prefix_cache_hit_rate)),
)
DISTRIBUTIONS = tuple(m for m in METRICS if isinstance(m, Distribution))
BOUNDS = {m.name: m.bounds for m in METRICS}
TOTALS = tuple(m for m in METRICS if isinstance(m, Total))
TOTAL = "total"  # the stat of a metric that has one value for a level


def column_name(metric: str, stat: str) -> str:
    """The metric and stat as a column of wide tables."""
    return metric if stat == TOTAL else f"{metric}_{stat}"


COLUMNS = (*(m.name for m in TOTALS), *(column_name(m.name, stat) for m in DISTRIBUTIONS for stat in STATS))


def summarise(run_id: str, concurrency: int, samples: Samples) -> list[MetricRow]:
    """Every metric and stat of one level; what the samples do not carry is left out.

    The gaps of one answer are alike: however many there are, what counts are the requests behind a number.
    """
    requests = int(is_completed(samples).sum())
    rows = [
        MetricRow(run_id, concurrency, m.name, stat, value, sample_count=min(len(values), requests))
        for m in DISTRIBUTIONS
        if len(values := m.values(samples))
        for stat, value in _stats(values).items()
    ]
    rows += [MetricRow(run_id, concurrency, name, TOTAL, value) for name, value in _totals(samples).items()]
    return [row for row in rows if np.isfinite(row.value)]


def _totals(samples: Samples) -> dict[str, float]:
    if not is_completed(samples).any():
        return {"error_rate": error_rate(samples)}
    return {m.name: float(m.value(samples)) for m in TOTALS}


def _stats(values: Values) -> dict[str, float]:
    return {name: float(stat(values)) for name, stat in STATS.items()}


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
