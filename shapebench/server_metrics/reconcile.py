"""The server's own metrics of a level, reconciled with its samples, to find foreign traffic and cached prompts.

Both count from before the first request, warm-up included, to after the last. Unknown numbers count as their maximum (a
failed request may have been answered in full), so that our own traffic is never mistaken for foreign traffic.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

COUNTERS = ("finished_requests", "prompt_tokens", "generation_tokens", "ttft_s_count")
NOT_REACHED = ("connection", "dns", "tls")  # errors of requests that the server never had
UNSURE_PROMPT_TOKENS = 64  # a request without usage may have had so many more than were planned, by its template


@dataclass(frozen=True)
class ServerMetrics:
    """A time series of a server's metrics: rows of at_ns, metric, label and value, ordered by at_ns."""

    series: pd.DataFrame
    is_complete: bool = True  # the scrape at the end succeeded

    @classmethod
    def read(cls, path: Path, *, is_complete: bool = True) -> Self:
        return cls(pd.read_parquet(path), is_complete)

    @property
    def is_usable(self) -> bool:
        return self.is_complete and not self.counters_fell

    @cached_property
    def counters_fell(self) -> bool:
        """Check whether a counter fell: the server was restarted, or several servers share the address."""
        counters = self.series[self.series["metric"].isin(COUNTERS)]
        steps = counters.sort_values("at_ns", kind="stable").groupby(["metric", "label"])["value"].diff()
        return bool((steps < 0).any())

    @cached_property
    def _ends(self) -> tuple["pd.Series[float]", "pd.Series[float]"]:
        """Sum the first and the last values of each metric over its labels."""
        at_ns = self.series["at_ns"]
        first, last = (self.series[at_ns == moment] for moment in (at_ns.min(), at_ns.max()))
        return first.groupby("metric")["value"].sum(), last.groupby("metric")["value"].sum()

    def growth(self, metric: str) -> float:
        """Return by how much a counter grew; NaN if the server does not have it.

        Some servers name a counter only once it has counted something: it was 0 until then.
        """
        first, last = self._ends
        return float(last.get(metric, math.nan)) - float(first.get(metric, 0.0))

    def without_buckets_between(self) -> pd.DataFrame:
        """Drop histograms' buckets except those of the first and the last scrape."""
        at_ns = self.series["at_ns"]
        at_an_end = at_ns.isin([at_ns.min(), at_ns.max()])
        return self.series[at_an_end | ~self.series["metric"].str.endswith("_bucket")]

    def mean(self, histogram: str) -> float:
        """Return the mean of a histogram's observations during the level; NaN if there are none."""
        count = self.growth(f"{histogram}_count")
        return self.growth(f"{histogram}_sum") / count if count > 0 else math.nan

    def max(self, gauge: str) -> float:
        """Return the maximum of a gauge; NaN if the server does not have it."""
        return float(self.series.loc[self.series["metric"] == gauge, "value"].max())


@dataclass(frozen=True)
class Reconciliation:
    """The differences between the server's counts and ours; NaN where the server does not count."""

    foreign_requests: float
    foreign_tokens: float
    foreign_share: float  # of our own tokens; foreign is what others sent
    counted_share: float  # of what we know of: the minimum over requests, prompt tokens and output tokens
    uncached_hit_share: float  # of prompt tokens from the prefix cache, minus those that all prompts share


def reconcile(requests: pd.DataFrame, server: ServerMetrics, shared_tokens: int) -> Reconciliation:
    """Compare a level's requests, as `level_samples.read` returns them, with the server's counters."""
    ours, bound = _known(requests), _upper_bound(requests)
    theirs = {
        "requests": server.growth("finished_requests"),
        "prompt": server.growth("prompt_tokens"),
        "generation": server.growth("generation_tokens"),
    }
    over = {name: float(np.maximum(counted - bound[name], 0.0)) for name, counted in theirs.items()}  # NaN stays NaN
    tokens = [name for name in ("prompt", "generation") if math.isfinite(theirs[name])]
    foreign_tokens = sum(over[name] for name in tokens) if tokens else math.nan
    shares = [counted / ours[name] for name, counted in theirs.items() if ours[name] and math.isfinite(counted)]
    return Reconciliation(
        foreign_requests=over["requests"],
        foreign_tokens=foreign_tokens,
        foreign_share=foreign_tokens / max(sum(bound[name] for name in tokens), 1),
        counted_share=min(shares, default=math.nan),
        uncached_hit_share=_hit_share(server, bound["requests"] * shared_tokens / max(bound["prompt"], 1)),
    )


def _known(requests: pd.DataFrame) -> dict[str, float]:
    """Count what complete answers prove."""
    done = requests[requests["error_kind"].isna()]
    return {
        "requests": float(len(done)),
        "prompt": float(done["input_tokens"].sum()),
        "generation": float(done["output_tokens"].sum()),
    }


def _upper_bound(requests: pd.DataFrame) -> dict[str, float]:
    """Count the maximum that the server may have been sent and may have answered."""
    refused = requests["error_kind"].isin(NOT_REACHED) | (requests["http_status"].fillna(0) >= 400)
    failed = requests[requests["error_kind"].notna() & ~refused]
    sent_twice = requests[requests["resent"]]
    unsure = pd.concat([failed, sent_twice])
    known = _known(requests)
    return {
        "requests": known["requests"] + len(unsure),
        "prompt": known["prompt"] + float((unsure["planned_input_tokens"] + UNSURE_PROMPT_TOKENS).sum()),
        "generation": known["generation"] + float(unsure["planned_output_tokens"].sum()),
    }


def _hit_share(server: ServerMetrics, shared: float) -> float:
    """Return the share of prompt tokens from the cache above the `shared` one that all prompts have in common.

    It compares shares, not counts, since vLLM counts a request that waits for space in the cache at each try, in
    queries and hits. A preempted request finds its own blocks in the cache: with preemptions the share is unknown.
    """
    queried = server.growth("prefix_cache_queried_tokens")
    if not queried > 0 or server.growth("preemptions") > 0:
        return math.nan
    return max(server.growth("prefix_cache_hit_tokens") / queried - shared, 0.0)


def same_ttfts(requests: pd.DataFrame, server: ServerMetrics) -> bool:
    """Tell whether the server's histogram has as many first tokens as arrived here."""
    return server.is_usable and server.growth("ttft_s_count") == int(requests["first_token_s"].notna().sum())


def mean_ttft_s(requests: pd.DataFrame) -> float:
    """Return the mean over all requests that had a first token, as in the server's histogram."""
    first_s = requests["first_token_s"].to_numpy(dtype=float)
    return float(np.nanmean(first_s)) if np.isfinite(first_s).any() else math.nan
