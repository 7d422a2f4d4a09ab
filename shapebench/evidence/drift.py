"""Did the time to first token rise or fall over a level? Then its warm-up was too short, or something changed."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from shapebench.precision import MOST_BATCHES, ROUNDS_PER_BATCH, widening

Values = npt.NDArray[np.float64]

FEWEST_BATCHES = 8  # a line through fewer can lie anywhere
STEPS_AT = (0.2, 0.5, 0.8)  # of the level: where a warm-up may end, or something break off
CHANCE = 1e-5 / (1 + len(STEPS_AT))  # of being surely wrong, for each of the ways to look


@dataclass(frozen=True)
class Drift:
    """As shares of the mean, from the beginning to the end; `sure` is what is left when chance is taken off."""

    share: float
    sure: float


def ttft_drift(done: pd.DataFrame, streams: int) -> Drift | None:
    """The surest of a line and of steps through the means of batches; None where there are too few requests.

    `done` has a row for each completed, measured request, with `sent_at_ns` and `ttft_s`. A batch is as long as in
    `precision`, so that their means are nearly independent; what is left of their likeness widens the bound.
    """
    batches = min(MOST_BATCHES, len(done) // (ROUNDS_PER_BATCH * streams))
    if batches < FEWEST_BATCHES:
        return None
    ttft_s = done.sort_values("sent_at_ns")["ttft_s"].to_numpy(dtype=float)
    means = np.array([batch.mean() for batch in np.array_split(ttft_s, batches)]) / ttft_s.mean()
    if not np.ptp(means):
        return Drift(0.0, 0.0)  # there is no telling how far chance takes what never varies
    found = [_line(means), *(_step(means, round(at * batches)) for at in STEPS_AT)]
    return max(found, key=lambda drift: (abs(drift.sure), abs(drift.share)))


def _line(means: Values) -> Drift:
    """What rises or falls all the time."""
    at = np.linspace(0, 1, len(means))
    line = stats.linregress(at, means)
    error = line.stderr * math.sqrt(_alike(means - line.intercept - line.slope * at))
    return _drift(float(line.slope), error, len(means) - 2)


def _step(means: Values, at: int) -> Drift:
    """What is otherwise before that batch than after it; chance is seen in the longer of the two parts."""
    before, after = means[:at], means[at:]
    calm = max(after, before, key=len)
    variance = float(calm.var(ddof=1)) * _alike(calm - calm.mean())
    error = math.sqrt(variance * (1 / len(before) + 1 / len(after)))
    return _drift(float(after.mean() - before.mean()), error, len(calm) - 1)


def _alike(strays: Values) -> float:
    return widening(strays.tolist(), float(strays @ strays))


def _drift(change: float, error: float, freedom: int) -> Drift:
    unsure = float(stats.t.isf(CHANCE / 2, freedom)) * error
    return Drift(change, math.copysign(max(abs(change) - unsure, 0.0), change))
