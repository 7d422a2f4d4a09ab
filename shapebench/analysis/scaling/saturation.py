"""Saturation of a machine: where throughput stops growing, and how much headroom there is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from shapebench.analysis.scaling.growth import Growth, growth, with_curve_noise
from shapebench.analysis.scaling.levels import Levels, read_levels
from shapebench.analysis.scaling.usl import TAILS, Estimate, Law, fit

REACH = 2  # times the highest level: the limit of predictions
STEPS = 33  # points at which the law is evaluated up to there


@dataclass(frozen=True)
class Peak:
    """The level with the most tokens/s."""

    concurrency: int
    system_tokens_per_s: float


@dataclass(frozen=True)
class Headroom:
    """Throughput that the law predicts beyond the measured levels, in addition to their maximum."""

    concurrency: int  # with the maximum of predicted throughput
    up_to: int  # the highest concurrency of the prediction
    tokens_per_s: Estimate
    share: Estimate


@dataclass(frozen=True, eq=False)
class Saturation:
    """The growth of levels (None: fewer than two), and the law fitted to them (None: fewer than three)."""

    levels: Levels
    growth: Growth | None
    law: Law | None

    @property
    def saturated(self) -> bool | None:
        return None if self.growth is None else self.growth.knee is not None

    @property
    def knee(self) -> int | None:
        """The level at which growth ends."""
        return self.growth.knee if self.growth else None

    @property
    def knee_interval(self) -> tuple[int, int] | None:
        """The levels between which growth ends."""
        return self.growth.interval if self.growth else None

    @property
    def collapses(self) -> bool | None:
        """True where throughput falls beyond its peak by more than chance explains."""
        return self.growth.collapses if self.growth else None

    @property
    def greatest(self) -> int:
        return int(self.levels.concurrency[-1])

    @property
    def peak(self) -> Peak | None:
        if not len(self.levels):
            return None
        place = int(self.levels.tokens_per_s.argmax())
        return Peak(int(self.levels.concurrency[place]), float(self.levels.tokens_per_s[place]))

    @property
    def headroom(self) -> Headroom | None:
        """None where no law describes the levels."""
        return _headroom(self.levels, self.law, self.growth) if self.law and self.law.describes else None

    def curve(self, concurrency: Sequence[float]) -> pd.DataFrame:
        """Return the law's `tokens_per_s` at each `concurrency`, with `low` and `high` (95%); no rows without a law."""
        if self.law is None:
            return pd.DataFrame(columns=["concurrency", "tokens_per_s", "low", "high"], dtype=float)
        at = np.array(concurrency, float)
        tokens, (low, high) = self.law.tokens_per_s(at), np.percentile(self.law.drawn(at), TAILS, axis=0)
        ends = {"low": np.minimum(low, tokens), "high": np.maximum(high, tokens)}
        return pd.DataFrame({"concurrency": at, "tokens_per_s": tokens, **ends})


def saturation(curve: pd.DataFrame) -> Saturation:
    """Find saturation from rows with `concurrency` and `system_tokens_per_s`, in any order, one or more for a level.

    The noise of a row is `system_tokens_per_s_stddev` (tokens/s, between measurements) or `throughput_precision` (as in
    level_summary), else it is estimated from repeated levels, else 2% is assumed.
    """
    levels = read_levels(curve)
    if len(levels) < 2:
        return Saturation(levels, None, None)
    levels = with_curve_noise(levels)
    found = growth(levels)
    return Saturation(levels, found, fit(levels, ended=found.knee is not None))


def _headroom(levels: Levels, law: Law, found: Growth | None) -> Headroom:
    """Extrapolate by the law; growth that has not ended may also continue at its last rate."""
    greatest = levels.concurrency[-1]
    onward = float(np.clip(found.last_doubling, 0, 1)) if found and found.knee is None else 0.0
    beyond = np.linspace(greatest, REACH * greatest, STEPS)
    maximum, maximum_drawn = law.tokens_per_s(levels.concurrency).max(), law.drawn(levels.concurrency).max(axis=1)
    tokens, drawn = law.tokens_per_s(beyond), law.drawn(beyond).max(axis=1)
    more, ratio = (
        Estimate.of(max(tokens.max() - maximum, 0), (drawn - maximum_drawn).clip(min=0)),
        drawn / maximum_drawn - 1,
    )
    share = Estimate.of(max(tokens.max() / maximum - 1, 0), ratio.clip(min=0))
    return Headroom(
        concurrency=round(beyond[tokens.argmax()]),
        up_to=int(REACH * greatest),
        tokens_per_s=_at_best(more, onward * maximum),
        share=_at_best(share, onward),
    )


def _at_best(estimate: Estimate, onward: float) -> Estimate:
    return replace(estimate, high=max(estimate.high, onward))
