"""A curve's levels: throughput at each concurrency, and its noise."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from shapebench.support.batch_means import Z

Values = npt.NDArray[np.float64]
Source = Literal["given", "repeated", "assumed"]

ASSUMED_NOISE = 0.02  # of a level that was measured once: typical differences between machines and runs
ASSUMED_FREEDOM = 2  # degrees of freedom of the assumption, compared with the scatter of the curve
MIN_NOISE = 0.005  # even if repetitions agree: they do not show errors that they share
# Columns with the noise of a row, and the relative standard deviation derived from them.
NOISES: dict[str, Callable[[pd.DataFrame], "pd.Series[float]"]] = {
    "system_tokens_per_s_stddev": lambda rows: rows["system_tokens_per_s_stddev"] / rows["system_tokens_per_s"],
    "throughput_precision": lambda rows: rows["throughput_precision"] / Z,
}


@dataclass(frozen=True, eq=False)
class Levels:
    """The levels of a curve, one for each concurrency, in that order."""

    concurrency: Values
    tokens_per_s: Values  # of repeated levels the geometric mean
    noise: Values  # the relative standard deviation of that
    freedom: float  # degrees of freedom of the noise, for Student's t; infinite if the noise was given
    source: Source

    @property
    def doublings(self) -> Values:
        return np.log2(self.concurrency)

    @property
    def log_tokens(self) -> Values:
        """Throughput in doublings: on a straight line of slope 1, twice the users get twice the tokens."""
        return np.log2(self.tokens_per_s)

    @property
    def log_noise(self) -> Values:
        noise: Values = self.noise / np.log(2)
        return noise

    def __len__(self) -> int:
        return len(self.concurrency)


def read_levels(curve: pd.DataFrame) -> Levels:
    """Combine rows with `concurrency` and `system_tokens_per_s`, in any order, into levels."""
    rows = usable(curve)
    alone, freedom, source = _noise(rows)
    each = rows.assign(log=np.log(rows["system_tokens_per_s"]), square=alone**2).groupby("concurrency")
    counts, first = each.size().to_numpy(float), each["system_tokens_per_s"].first()
    tokens = np.where(counts == 1, first, np.exp(each["log"].mean()))  # exactly as it was measured, where it was once
    noise = np.sqrt(each["square"].sum().to_numpy(float)) / counts
    return Levels(first.index.to_numpy(float), tokens, noise, freedom, source)


def usable(curve: pd.DataFrame) -> pd.DataFrame:
    """Select the rows with a throughput, as floats, in the order of concurrency; duplicates count once."""
    columns = ["concurrency", "system_tokens_per_s", *(name for name in NOISES if name in curve)]
    rows = curve[columns].apply(pd.to_numeric, errors="coerce").astype(float)
    known = rows["system_tokens_per_s"].between(0, math.inf, inclusive="neither") & (rows["concurrency"] >= 1)
    distinct: pd.DataFrame = rows[known].drop_duplicates(columns[:2]).sort_values(columns[:2])
    return distinct


def _noise(rows: pd.DataFrame) -> tuple["pd.Series[float]", float, Source]:
    """Return the noise of each row: as given, else by repeated levels, else as assumed."""
    given = _given(rows)
    spread, freedom = _of_repeated(rows)
    noise = given.fillna(spread if freedom else ASSUMED_NOISE).clip(lower=MIN_NOISE)
    if given.notna().any():
        return noise, math.inf, "given"
    return (noise, freedom, "repeated") if freedom else (noise, ASSUMED_FREEDOM, "assumed")


def _of_repeated(rows: pd.DataFrame) -> tuple[float, int]:
    logs = np.log(rows["system_tokens_per_s"])
    residuals = logs - logs.groupby(rows["concurrency"]).transform("mean")
    freedom = len(rows) - rows["concurrency"].nunique()
    return float(np.sqrt((residuals**2).sum() / max(freedom, 1))), freedom


def _given(rows: pd.DataFrame) -> "pd.Series[float]":
    found = pd.Series(np.nan, index=rows.index, dtype=float)
    for name, relative in NOISES.items():
        if name in rows:
            found = found.fillna(relative(rows).where(lambda share: share >= 0))
    return found
