"""The curve of the Universal Scalability Law fitted to the levels of a run."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from shapebench.analysis.scaling.growth import Growth, growth, with_curve_noise
from shapebench.analysis.scaling.levels import Levels, read_levels
from shapebench.analysis.scaling.run_curve import run_curve
from shapebench.analysis.scaling.usl import MIN_LEVELS, TAILS, Law, fit

POINTS = 60  # of the curve


@dataclass(frozen=True)
class Fit:
    """A curve, `tokens_per_s` over `concurrency`, with its 95% band from `low` to `high`, and the knee."""

    curve: pd.DataFrame
    knee: int | None
    sentences: tuple[str, ...]


def fitted(scaling: pd.DataFrame, levels: pd.DataFrame) -> Fit | None:
    """Fit the curve to rows of the view `scaling`, with the precision of rows of `level_summary`.

    Returns None where there are too few levels, or the law does not describe them.
    """
    points = scaling.dropna(subset=["tokens_per_s"])
    if points.empty:
        return None
    measured = read_levels(run_curve(points, levels))
    if len(measured) < MIN_LEVELS:
        return None
    ends = growth(with_curve_noise(measured))
    law = fit(measured, ended=ends.knee is not None)
    if law is None or not law.describes:
        return None
    return Fit(_sampled(law, measured), ends.knee, (_knee_sentence(ends), _law_sentence(law)))


def _sampled(law: Law, levels: Levels) -> pd.DataFrame:
    at = np.geomspace(levels.concurrency[0], levels.concurrency[-1], POINTS)
    low, high = np.percentile(law.drawn(at), TAILS, axis=0)
    columns = {"concurrency": at, "tokens_per_s": law.tokens_per_s(at), "low": low, "high": high}
    return pd.DataFrame(columns).round(3)


def _knee_sentence(ends: Growth) -> str:
    if ends.knee is None:
        return "Throughput still grows at the highest level measured."
    interval = f" (95% interval {ends.interval[0]} to {ends.interval[1]})" if ends.interval else ""
    return f"Throughput saturates at about {ends.knee} concurrent users{interval}."


def _law_sentence(law: Law) -> str:
    cap = f", at most {law.cap.value:,.0f} requests running at once" if law.cap else ""
    contention, crosstalk = (
        np.format_float_positional(parameter.value, precision=2, fractional=False, trim="-")
        for parameter in (law.sigma, law.kappa)
    )
    return (
        f"The curve is the Universal Scalability Law with contention {contention} and crosstalk {crosstalk}{cap}. "
        f"Its error is {law.error:.1%} (RMS); the band is its 95% confidence band."
    )
