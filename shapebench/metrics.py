"""The METRICS table: what is measured, in which unit, and how it follows from samples; all else derives from it.

Definitions: seconds throughout; `ttft_s` and `e2e_s` run from the request's first byte sent to the arrival of the
chunk that carries the first and the last token. Warm-up requests count nowhere but in `steady_tokens_per_s`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq

from shapebench.records import MetricRow

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Distribution:
    """A metric with a value for each request or token; `values` takes the completed, measured samples."""

    name: str
    label: str
    unit: str
    values: Callable[[pd.DataFrame], Values]
    bounds: tuple[float, float] = (0, math.inf)  # what lies outside cannot be


@dataclass(frozen=True)
class Total:
    """A metric with one value for a level; `value` takes all its samples, and gives NaN where there is none."""

    name: str
    label: str
    unit: str
    value: Callable[[pd.DataFrame], float]
    bounds: tuple[float, float] = (0, math.inf)  # what lies outside cannot be


def _percentile(p: int) -> Callable[[Values], float]:
    return lambda values: float(np.percentile(values, p))


STATS: dict[str, Callable[[Values], float]] = {
    "mean": np.mean,
    "stddev": lambda values: float(np.std(values, ddof=1)) if len(values) > 1 else np.nan,
    "min": np.min,
    **{f"p{p}": _percentile(p) for p in (25, 50, 75, 90, 95, 99)},
    "max": np.max,
}


def read(path: Path) -> pd.DataFrame:
    """A level's samples with what follows from each alone: `ttft_s`, `e2e_s`, `tpot_s`, `query_tokens_per_s`.

    A failed request has none of these.
    """
    samples: pd.DataFrame = pq.read_table(path).to_pandas()
    done = samples["error_kind"].isna()
    samples["ttft_s"] = samples["chunk_offsets_s"].str[0].astype(float).where(done)
    samples["e2e_s"] = samples["chunk_offsets_s"].str[-1].astype(float).where(done)
    output_tokens = samples["output_tokens"].astype(float)
    several = output_tokens.where(output_tokens > 1)  # one token alone has no time between tokens
    samples["tpot_s"] = (samples["e2e_s"] - samples["ttft_s"]) / (several - 1)
    samples["query_tokens_per_s"] = output_tokens / samples["e2e_s"]
    return samples


def column(name: str) -> Callable[[pd.DataFrame], Values]:
    return lambda samples: samples[name].dropna().to_numpy(dtype=float)


def completed(samples: pd.DataFrame) -> pd.DataFrame:
    return samples[samples["error_kind"].isna() & ~samples["warmup"]]


def measured(samples: pd.DataFrame) -> pd.DataFrame:
    return samples[~samples["warmup"]]


def inter_token_s(samples: pd.DataFrame) -> Values:
    """Gaps between token-bearing chunks; a chunk of k tokens counts k times a k-th of its gap."""
    gaps = [
        np.repeat(np.diff(offsets_s) / tokens[1:], tokens[1:])
        for offsets_s, tokens in zip(samples["chunk_offsets_s"], samples["chunk_tokens"], strict=True)
    ]
    return np.concatenate(gaps) if gaps else np.array([])


def wall_s(samples: pd.DataFrame) -> float:
    """First send of a measured request to the last arrival of a completed one."""
    done = completed(samples)
    sent_s = (done["sent_at_ns"] - measured(samples)["sent_at_ns"].min()) / 1e9  # since 1970 a float is 256 ns coarse
    return float((sent_s + done["e2e_s"]).max())


def system_tokens_per_s(samples: pd.DataFrame) -> float:
    return float(completed(samples)["output_tokens"].sum() / wall_s(samples))


def requests_per_min(samples: pd.DataFrame) -> float:
    return 60 * len(completed(samples)) / wall_s(samples)


def error_rate(samples: pd.DataFrame) -> float:
    return 1 - len(completed(samples)) / len(measured(samples)) if len(measured(samples)) else np.nan


def steady_window_ns(samples: pd.DataFrame) -> tuple[int, int]:
    """From when every stream is past its warm-up to when the first has no more to do; it may be empty.

    In between all streams are busy: each sends its next request when it has the answer to the last.
    """
    streams = measured(samples).groupby("stream")
    if samples.empty or len(streams) < samples["stream"].nunique():
        return 0, 0  # a stream never got a measured request
    ended_ns = samples["sent_at_ns"] + (samples["ended_s"] * 1e9).astype("int64")
    return int(streams["sent_at_ns"].min().max()), int(ended_ns.groupby(samples["stream"]).max().min())


def steady_tokens_per_s(samples: pd.DataFrame) -> float:
    """Tokens that arrived inside the steady window, whichever request they belong to, over its length."""
    start_ns, end_ns = steady_window_ns(samples)
    if end_ns <= start_ns:
        return np.nan
    length_s = (end_ns - start_ns) / 1e9
    sent_s = (samples["sent_at_ns"] - start_ns) / 1e9
    arrivals_s = np.concatenate(
        [sent + offsets for sent, offsets in zip(sent_s, samples["chunk_offsets_s"], strict=True)]
    )
    tokens = np.concatenate(samples["chunk_tokens"].to_list())
    return float(tokens[(arrivals_s >= 0) & (arrivals_s < length_s)].sum() / length_s)


def held_concurrency(samples: pd.DataFrame) -> float:
    """Requests in flight on average over the steady window; NaN where there is none."""
    start_ns, end_ns = steady_window_ns(samples)
    if end_ns <= start_ns:
        return np.nan
    begun_ns = samples["sent_at_ns"].clip(start_ns, end_ns)
    ended_ns = (samples["sent_at_ns"] + samples["ended_s"] * 1e9).clip(start_ns, end_ns)
    return float((ended_ns - begun_ns).sum() / (end_ns - start_ns))


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
    Total("requests_per_min", "Requests completed", "1/min", requests_per_min),
    Total("error_rate", "Error rate", "1", error_rate, bounds=(0, 1)),
)
DISTRIBUTIONS = tuple(m for m in METRICS if isinstance(m, Distribution))
BOUNDS = {m.name: m.bounds for m in METRICS}
TOTALS = tuple(m for m in METRICS if isinstance(m, Total))
TOTAL = "total"  # the stat of a metric that has one value for a level


def column_name(metric: str, stat: str) -> str:
    """The metric and stat as a column of wide tables."""
    return metric if stat == TOTAL else f"{metric}_{stat}"


COLUMNS = (*(m.name for m in TOTALS), *(column_name(m.name, stat) for m in DISTRIBUTIONS for stat in STATS))


def summarise(run_id: str, concurrency: int, samples: pd.DataFrame) -> list[MetricRow]:
    """Every metric and stat of one level; what the samples do not carry is left out."""
    done = completed(samples)
    values = {(m.name, stat): value for m in DISTRIBUTIONS for stat, value in _stats(m.values(done)).items()}
    if len(done):
        values |= {(m.name, TOTAL): m.value(samples) for m in TOTALS}
    else:
        values[("error_rate", TOTAL)] = error_rate(samples)
    return [
        MetricRow(run_id, concurrency, metric, stat, float(value))
        for (metric, stat), value in values.items()
        if np.isfinite(value)
    ]


def _stats(values: Values) -> dict[str, float]:
    return {name: stat(values) for name, stat in STATS.items()} if len(values) else {}


def possible(row: MetricRow) -> bool:
    """Does the number lie within its metric's bounds? A spread has none."""
    least, most = BOUNDS[row.metric]
    return row.stat == "stddev" or least <= row.value <= most


def as_object(rows: list[MetricRow]) -> dict[str, Any]:
    """A level's metrics as `measure --json` prints them: totals as numbers, distributions as objects of stats."""
    found = {(row.metric, row.stat): row.value for row in rows}
    totals = {m.name: found.get((m.name, TOTAL)) for m in TOTALS}
    return totals | {m.name: {stat: found.get((m.name, stat)) for stat in STATS} for m in DISTRIBUTIONS}
