"""Drift of the time to first token over a level: its warm-up was too short, or something changed."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from shapebench.support.batch_means import MAX_BATCHES, ROUNDS_PER_BATCH, correlation_factor

Values = npt.NDArray[np.float64]

MIN_BATCHES = 8  # a line through fewer can lie anywhere
MIN_PART = 3  # of which one may be a hiccup
STEPS_AT = (0.2, 0.5, 0.8)  # of the level: where a warm-up may end, or something break off
CHANCE = 1e-5 / (1 + len(STEPS_AT))  # false alarm rate of each test
ALIKE = 3.0  # how much more the mean of batches varies than they differ from their neighbours, at a correlation of 0.3
OF_MEDIAN = 1.25  # how much more a median varies than a mean


@dataclass(frozen=True)
class Drift:
    """A change from the beginning to the end, as a share of the median; `sure` is what exceeds chance."""

    share: float
    sure: float


def ttft_drift(done: pd.DataFrame, streams: int) -> Drift | None:
    """Fit a line and steps to the medians of batches, and return the most certain; None: too few requests.

    `done` has a row for each completed, measured request, with `sent_at_ns` and `ttft_s`. A batch is as long as in
    `precision`, so that batches are nearly independent. Medians, since a hiccup is no drift.
    """
    batches = min(MAX_BATCHES, len(done) // (ROUNDS_PER_BATCH * streams))
    if batches < MIN_BATCHES:
        return None
    ttft_s = done.sort_values("sent_at_ns")["ttft_s"].to_numpy(dtype=float)
    medians_s = np.array([np.median(batch) for batch in np.array_split(ttft_s, batches)])
    medians = medians_s / np.median(medians_s)
    if not np.ptp(medians):
        return Drift(0.0, 0.0)  # there is no telling how far chance takes what never varies
    found = [_line(medians), *(_step(medians, round(at * batches)) for at in STEPS_AT)]
    return max(found, key=lambda drift: (abs(drift.sure), abs(drift.share)))


def _line(medians: Values) -> Drift:
    """Fit a steady rise or fall; chance is estimated from neighbours, which a smooth rise hardly changes."""
    at = np.linspace(0, 1, len(medians))
    variance = ALIKE * float(np.diff(medians).var(ddof=1)) / 2
    error = math.sqrt(variance / float(np.square(at - at.mean()).sum()))
    return _drift(float(stats.linregress(at, medians).slope), error, len(medians) - 1)


def _step(medians: Values, at: int) -> Drift:
    """Compare the batches before one with those after it; chance is estimated from the longer of the two parts."""
    at = min(max(at, MIN_PART), len(medians) - MIN_PART)
    before, after = medians[:at], medians[at:]
    calm = max(after, before, key=len)
    variance = float(calm.var(ddof=1)) * correlation_factor((calm - calm.mean()).tolist())
    error = OF_MEDIAN * math.sqrt(variance * (1 / len(before) + 1 / len(after)))
    return _drift(float(np.median(after) - np.median(before)), error, len(calm) - 1)


def _drift(change: float, error: float, freedom: int) -> Drift:
    unsure = float(stats.t.isf(CHANCE / 2, freedom)) * error
    return Drift(change, math.copysign(max(abs(change) - unsure, 0.0), change))
