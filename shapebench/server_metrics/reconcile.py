"""The server's own account of a level, and what it shows when it is held against the samples.

Both count from before the first request, warm-up included, to after the last. What the samples cannot know is taken
as the most that it may have been (a request that failed may have been answered in full), so that nothing of our own
is taken for somebody else's.
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
class Account:
    """What the server said at several moments: rows of at_ns, metric, label and value, the moments in order."""

    series: pd.DataFrame
    is_whole: bool = True  # the last look is there

    @classmethod
    def read(cls, path: Path, *, is_whole: bool = True) -> Self:
        return cls(pd.read_parquet(path), is_whole)

    @property
    def is_usable(self) -> bool:
        return self.is_whole and not self.falls

    @cached_property
    def falls(self) -> bool:
        """Did a counter fall? Then the server was restarted, or several take turns at the address."""
        counters = self.series[self.series["metric"].isin(COUNTERS)]
        steps = counters.sort_values("at_ns", kind="stable").groupby(["metric", "label"])["value"].diff()
        return bool((steps < 0).any())

    @cached_property
    def _ends(self) -> tuple["pd.Series[float]", "pd.Series[float]"]:
        """The first and the last values by metric, over all its labels."""
        at_ns = self.series["at_ns"]
        first, last = (self.series[at_ns == moment] for moment in (at_ns.min(), at_ns.max()))
        return first.groupby("metric")["value"].sum(), last.groupby("metric")["value"].sum()

    def grown(self, metric: str) -> float:
        """By how much a counter grew; NaN where the server does not count it."""
        first, last = (float(values.get(metric, math.nan)) for values in self._ends)
        return last - first

    def without_buckets_between(self) -> pd.DataFrame:
        """The series without histograms' buckets, but for those of the first and the last moment."""
        at_ns = self.series["at_ns"]
        at_an_end = at_ns.isin([at_ns.min(), at_ns.max()])
        return self.series[at_an_end | ~self.series["metric"].str.endswith("_bucket")]

    def mean(self, histogram: str) -> float:
        """Of what the histogram took in meanwhile; NaN where that was nothing."""
        count = self.grown(f"{histogram}_count")
        return self.grown(f"{histogram}_sum") / count if count > 0 else math.nan

    def most(self, gauge: str) -> float:
        """The greatest of the values seen; NaN where the server does not say."""
        return float(self.series.loc[self.series["metric"] == gauge, "value"].max())


@dataclass(frozen=True)
class Reconciled:
    """Tokens and requests by the server's count and by ours; NaN where the server does not count."""

    foreign_requests: float
    foreign_tokens: float
    foreign_share: float  # of our own tokens
    counted_share: float  # of what we know of, how much the server counted: the least of requests, prompts and answers
    uncached_hit_share: float  # of prompt tokens that the prefix cache had, beside those that all prompts share


def reconcile(requests: pd.DataFrame, account: Account, shared_tokens: int) -> Reconciled:
    """Hold a level's requests, as `metrics.read` gives them, against the server's counters."""
    ours, most = _known(requests), _most(requests)
    theirs = {
        "requests": account.grown("finished_requests"),
        "prompt": account.grown("prompt_tokens"),
        "generation": account.grown("generation_tokens"),
    }
    over = {name: float(np.maximum(counted - most[name], 0.0)) for name, counted in theirs.items()}  # NaN stays NaN
    foreign_tokens = over["prompt"] + over["generation"]
    shares = [counted / ours[name] for name, counted in theirs.items() if ours[name] and math.isfinite(counted)]
    return Reconciled(
        foreign_requests=over["requests"],
        foreign_tokens=foreign_tokens,
        foreign_share=foreign_tokens / max(most["prompt"] + most["generation"], 1),
        counted_share=min(shares, default=math.nan),
        uncached_hit_share=_hit_share(account, most["requests"] * shared_tokens / max(most["prompt"], 1)),
    )


def _known(requests: pd.DataFrame) -> dict[str, float]:
    """What whole answers prove to have been asked and given."""
    done = requests[requests["error_kind"].isna()]
    return {
        "requests": float(len(done)),
        "prompt": float(done["input_tokens"].sum()),
        "generation": float(done["output_tokens"].sum()),
    }


def _most(requests: pd.DataFrame) -> dict[str, float]:
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


def _hit_share(account: Account, shared: float) -> float:
    """Above the share of a prompt that all have in common.

    Of shares, since vLLM counted a request that waits for room in the cache anew at each try, queries and hits alike.
    A preempted request finds its own blocks: where there were any, nothing can be told.
    """
    queried = account.grown("prefix_cache_queried_tokens")
    if not queried > 0 or account.grown("preemptions") > 0:
        return math.nan
    return max(account.grown("prefix_cache_hit_tokens") / queried - shared, 0.0)


def same_ttfts(requests: pd.DataFrame, account: Account) -> bool:
    """Are the first tokens in the server's histogram those that came here, and no others?"""
    return account.is_usable and account.grown("ttft_s_count") == int(requests["first_token_s"].notna().sum())


def mean_ttft_s(requests: pd.DataFrame) -> float:
    """Of all that had a first token, as the server's histogram has them."""
    first_s = requests["first_token_s"].to_numpy(dtype=float)
    return float(np.nanmean(first_s)) if np.isfinite(first_s).any() else math.nan
