"""Precision of the mean TTFT and the throughput of a finished level."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from shapebench.analysis.level_samples import completed, steady_window_ns
from shapebench.analysis.sample_reader import Samples, Values
from shapebench.support.batch_means import BUCKETS_OF_A_LEVEL, SHORTEST_S, Buckets, Precision, precision


def estimate_precision(samples: Samples) -> Precision:
    """Estimate the precision of a finished level in its steady window."""
    start_ns, end_ns = steady_window_ns(samples)
    if end_ns <= start_ns:
        return Precision()
    length_s = (end_ns - start_ns) / 1e9
    width_s = length_s / BUCKETS_OF_A_LEVEL
    answers, ttft_s = _answers_inside(completed(samples, "sent_at_ns", "ttft_s"), start_ns, length_s, width_s)
    buckets = Buckets(width_s, answers, ttft_s, _tokens_inside(samples.requests, start_ns, length_s, width_s))
    return precision(buckets, 0.0, length_s, samples.requests["stream"].nunique())


def _answers_inside(
    done: pd.DataFrame, start_ns: int, length_s: float, width_s: float
) -> tuple[list[int], list[float]]:
    """Count answers in buckets as `Buckets.add_ttft` does, all at once, if their first token is in the window."""
    ttft_s = done["ttft_s"].to_numpy()
    first_token_s = ((done["sent_at_ns"] - start_ns) / 1e9).to_numpy() + ttft_s
    inside = (first_token_s >= 0) & (first_token_s < length_s)
    bucket = (first_token_s[inside] / width_s).astype(int)
    return np.bincount(bucket).tolist(), np.bincount(bucket, ttft_s[inside]).tolist()


def _tokens_inside(requests: pd.DataFrame, start_ns: int, length_s: float, width_s: float) -> list[float]:
    """Spread tokens over buckets as `Buckets.add_tokens` does, all at once, those in the window only."""
    begun_s = ((requests["sent_at_ns"] - start_ns) / 1e9).to_numpy()
    e2e_s = requests["last_token_s"].to_numpy()
    begin_s, end_s = begun_s.clip(min=0), (begun_s + e2e_s).clip(max=length_s)
    inside = end_s > begin_s  # not so either where no token came, and e2e_s is NaN
    begin_s, e2e_s, took_s = begin_s[inside], e2e_s[inside], (end_s - begin_s)[inside]
    tokens = requests["counted_tokens"].to_numpy()[inside] * took_s / e2e_s
    return _spread(begin_s / width_s, took_s.clip(min=SHORTEST_S) / width_s, tokens)


def _spread(begin: Values, length: Values, amounts: Values) -> list[float]:
    """Sum what falls between 0 and 1, 1 and 2, ..., each amount spread evenly over its length.

    Each adds its rate to all buckets from its first to its last, minus the parts of those two that it does not cover.
    """
    end, rate = begin + length, amounts / length
    first, last = begin.astype(int), end.astype(int)
    buckets = int(last.max(initial=0)) + 2

    def summed(at: npt.NDArray[np.int_], weights: Values) -> Values:
        return np.bincount(at, weights, minlength=buckets).astype(float)

    full = np.cumsum(summed(first, rate) - summed(last + 1, rate))
    spread: list[float] = (
        full - summed(first, rate * (begin - first)) - summed(last, rate * (last + 1 - end))
    ).tolist()
    return spread
