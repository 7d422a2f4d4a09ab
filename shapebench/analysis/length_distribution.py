"""Fit of lengths to the planned distribution: mean, spread and shape, each with a bound on chance.

A bound is crossed by chance once in a million levels, so that a level which crosses one had another distribution.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from shapebench.spec.lengths import Lengths

CHANCE = 1e-6
Z = float(stats.norm.isf(CHANCE / 2))


@dataclass(frozen=True)
class Fit:
    """The fit of lengths; each excess is in units of its bound: more than 1 is more than chance explains."""

    mean: float  # that was seen
    spread: float  # the standard deviation that was seen
    mean_excess: float
    spread_excess: float
    shape_excess: float


def fit(seen: npt.ArrayLike, planned: Lengths, slack_tokens: int, min_tokens: int = 1) -> Fit:
    """Compare lengths with a distribution; each may be `slack_tokens` off, and none was planned below `min_tokens`."""
    lengths = np.sort(np.asarray(seen, dtype=float))
    support, chances = _planned(planned, min_tokens)
    mean = float(support @ chances)
    moments = [float((support - mean) ** power @ chances) for power in (2, 4)]
    deviation = math.sqrt(moments[0])
    spread = float(lengths.std())
    return Fit(
        mean=float(lengths.mean()),
        spread=spread,
        mean_excess=_excess(abs(lengths.mean() - mean), Z * deviation / math.sqrt(len(lengths)), slack_tokens),
        spread_excess=_excess(abs(spread - deviation), _most_spread_error(moments, len(lengths)), slack_tokens),
        shape_excess=_distance(lengths, support, np.cumsum(chances), slack_tokens) / _most_distance(len(lengths)),
    )


def _planned(planned: Lengths, min_tokens: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return token counts that `Lengths.draw` can draw, at least `min_tokens`, and the probability of each."""
    low, high = max(planned.min_tokens, min_tokens), max(planned.max_tokens, min_tokens)
    support = np.arange(low, high + 1, dtype=float)
    if not planned.stddev or low == high:
        return np.array([float(max(round(planned.mean), min_tokens))]), np.ones(1)
    below = stats.norm.cdf((support + 0.5 - planned.mean) / planned.stddev)
    below[-1] = 1.0  # what is drawn above is cut to the greatest, as what is drawn below to the smallest
    return support, np.diff(below, prepend=0.0)


def _excess(off: float, bound: float, slack: float) -> float:
    return off / (bound + slack) if bound + slack else (0.0 if off == 0 else math.inf)


def _most_spread_error(moments: list[float], count: int) -> float:
    """Bound the error of a standard deviation, by the second and fourth central moments."""
    variance, fourth_moment = moments
    if not variance:
        return 0.0
    deviation = math.sqrt(variance)
    error = math.sqrt(max(fourth_moment - variance**2, 0.0) / count) / (2 * deviation)
    # It is taken from the mean that was seen: of two lengths, each as likely, that is all that moves it.
    return math.hypot(Z * error, Z**2 * deviation / (2 * count))


def _distance(
    lengths: npt.NDArray[np.float64], support: npt.NDArray[np.float64], below: npt.NDArray[np.float64], slack: int
) -> float:
    """Return Kolmogorov's distance: the greatest difference between the shares of lengths, seen and planned."""
    at = np.unique(np.concatenate([lengths, support + slack]))  # where what is seen steps up, and what is planned
    seen = np.searchsorted(lengths, at, side="right") / len(lengths)
    padded = np.concatenate([[0.0], below])
    more, fewer = (padded[np.searchsorted(support, at + off, side="right")] for off in (slack, -slack))
    return float(max((seen - more).max(), (fewer - seen).max(), 0.0))


def _most_distance(count: int) -> float:
    """Bound that distance (Massart's bound on the inequality of Dvoretzky, Kiefer and Wolfowitz, 1990)."""
    return math.sqrt(math.log(2 / CHANCE) / (2 * count))
