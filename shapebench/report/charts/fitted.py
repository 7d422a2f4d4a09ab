"""The Universal Scalability Law through a run's levels, as it is drawn; None where it does not describe them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from shapebench.analysis.scaling.growth import Growth, growth, roughened
from shapebench.analysis.scaling.levels import Levels, levels_of
from shapebench.analysis.scaling.run_curve import run_curve
from shapebench.analysis.scaling.usl import LEAST_LEVELS, TAILS, Law, fit

POINTS = 60  # of the curve


@dataclass(frozen=True)
class Fit:
    """A curve, `tokens_per_s` over `concurrency`, with its band from `low` to `high`, and where growth ends."""

    curve: pd.DataFrame
    knee: int | None
    sentences: tuple[str, ...]


def fitted(scaling: pd.DataFrame, levels: pd.DataFrame) -> Fit | None:
    """Of rows of the view `scaling` that take part, and of `level_summary`, which says how sure each throughput is."""
    points = scaling.dropna(subset=["tokens_per_s"])
    if points.empty:
        return None
    found = levels_of(run_curve(points, levels))
    if len(found) < LEAST_LEVELS:
        return None
    ends = growth(roughened(found))
    law = fit(found, ended=ends.knee is not None)
    if law is None or not law.describes:
        return None
    return Fit(_drawn(law, found), ends.knee, (_says_where(ends), _says_what(law)))


def _drawn(law: Law, levels: Levels) -> pd.DataFrame:
    at = np.geomspace(levels.concurrency[0], levels.concurrency[-1], POINTS)
    low, high = np.percentile(law.drawn(at), TAILS, axis=0)
    columns = {"concurrency": at, "tokens_per_s": law.tokens_per_s(at), "low": low, "high": high}
    return pd.DataFrame(columns).round(3)


def _says_where(ends: Growth) -> str:
    if ends.knee is None:
        return "More users still bring more tokens at the highest level that was measured."
    among = f", somewhere from {ends.interval[0]} to {ends.interval[1]}" if ends.interval else ""
    return f"Throughput stops growing at about {ends.knee} concurrent users{among}."


def _says_what(law: Law) -> str:
    held = f"; no more than {law.cap.value:,.0f} streams run at once" if law.cap else ""
    contention, crosstalk = (
        np.format_float_positional(found.value, precision=2, fractional=False, trim="-")
        for found in (law.sigma, law.kappa)
    )
    return (
        f"The curve is the Universal Scalability Law: contention {contention}, crosstalk {crosstalk}"
        f"{held}. It misses the levels by {law.error:.1%} (root mean square); the band holds it with 95% confidence."
    )
