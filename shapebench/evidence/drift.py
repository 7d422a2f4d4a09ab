"""Did the time to first token rise or fall over a level? Then its warm-up was too short, or something changed."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from shapebench.precision import MOST_BATCHES, ROUNDS_PER_BATCH, widening

FEWEST_BATCHES = 8  # a line through fewer can lie anywhere
CHANCE = 1e-5


@dataclass(frozen=True)
class Drift:
    """As shares of the mean, from the first request to the last; `sure` is what is left when chance is taken off."""

    share: float
    sure: float


def ttft_drift(done: pd.DataFrame, streams: int) -> Drift | None:
    """By the line through the means of batches, which are nearly independent; None where there are too few requests.

    `done` has a row for each completed, measured request, with `sent_at_ns` and `ttft_s`. A batch is as long as in
    `precision`: requests that are near in time are alike.
    """
    batches = min(MOST_BATCHES, len(done) // (ROUNDS_PER_BATCH * streams))
    if batches < FEWEST_BATCHES:
        return None
    ttft_s = done.sort_values("sent_at_ns")["ttft_s"].to_numpy(dtype=float)
    means_s = np.array([batch.mean() for batch in np.array_split(ttft_s, batches)])
    if not np.ptp(means_s):
        return Drift(0.0, 0.0)  # there is no telling how far chance takes what never varies
    at = np.linspace(0, 1, batches)
    line = stats.linregress(at, means_s)
    strays_s = (means_s - line.intercept - line.slope * at).tolist()
    alike = math.sqrt(widening(strays_s, sum(stray**2 for stray in strays_s)))  # batches that follow each other
    unsure = float(stats.t.isf(CHANCE / 2, batches - 2)) * line.stderr * alike
    mean_s = float(ttft_s.mean())
    sure = math.copysign(max(abs(line.slope) - unsure, 0.0), line.slope)
    return Drift(float(line.slope / mean_s), float(sure / mean_s))
