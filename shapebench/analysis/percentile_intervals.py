"""95 % confidence intervals of a level's percentiles, for any distribution of latencies.

A percentile's interval is between two order statistics: the number of values below the true percentile is binomially
distributed (David and Nagaraja, Order Statistics, 7.1). That requires independent values. Requests that are close in
time are correlated, and the gaps of one answer even more, so an effective n is used: n is divided by the ratio of the
variance of the share of values below the percentile, between slices of the level, to that of as many independent
values (Korn and Graubard, Survey Methodology 24, 1998). The slices are those of `precision`: requests that follow each
other in time, at least two for each stream.

In simulations the intervals contained the true percentile in 96 to 99 % of levels with independent requests, and in
90 to 96 % where neighbours were correlated at 0.5.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from shapebench.analysis.level_samples import is_completed
from shapebench.analysis.sample_reader import Chunks, Samples, read_chunks, read_requests
from shapebench.support.batch_means import MAX_BATCHES, MIN_BATCHES, ROUNDS_PER_BATCH

Values = npt.NDArray[np.floating]
Places = npt.NDArray[np.intp]

SHOWN = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}
TAILS = (0.025, 0.975)
ENOUGH_TOKENS = 5_000_000  # of a longer level, the gaps of every second request are as good, or of every third


@dataclass(frozen=True)
class Sliced:
    """A level's latencies (s), each with the slice of the level that it belongs to."""

    latencies: Values
    slices: Places


def slices(requests: int, streams: int) -> Places:
    """Assign each request, in the order of sending, to a slice; if there are too few, each is a slice."""
    found = min(MAX_BATCHES, requests // (ROUNDS_PER_BATCH * streams))
    return np.arange(requests) * (found if found >= MIN_BATCHES else requests) // max(requests, 1)


def interval(level: Sliced, percentile: float) -> tuple[float, float] | None:
    """Return a percentile's interval; None where too few values lie beyond the percentile."""
    from scipy.stats import binom  # takes long to import

    share, count = percentile / 100, len(level.latencies)
    n = int(_independent(level, percentile)) if count else 0
    low, high = (int(rank) for rank in binom.ppf(TAILS, n, share)) if n else (0, 0)
    if low < 1 or high + 1 > n:
        return None
    places = [min(count - 1, max(0, round(rank * count / n) - 1)) for rank in (low, high + 1)]
    ordered = np.partition(level.latencies, places)
    return float(ordered[places[0]]), float(ordered[places[1]])


def _independent(level: Sliced, percentile: float) -> float:
    """Return the effective number of independent values."""
    below = level.latencies <= np.percentile(level.latencies, percentile)
    sizes, share, count = np.bincount(level.slices), below.mean(), len(below)
    alone = share * (1 - share) / count
    residuals = np.bincount(level.slices, weights=below) - share * sizes
    found = len(sizes) / max(len(sizes) - 1, 1) * np.square(residuals).sum() / count**2
    return float(count if found <= alone else count * alone / found)


def shown_intervals(level: Sliced) -> dict[str, tuple[float, float]]:
    """Return the intervals of the percentiles that are shown, by name."""
    found = {name: interval(level, percentile) for name, percentile in SHOWN.items()}
    return {name: ends for name, ends in found.items() if ends}


def slice_requests(values: "pd.Series[float]", streams: int) -> Sliced:
    """Slice a number of each completed request (NaN: none), in the order of sending."""
    kept = values.notna().to_numpy()
    return Sliced(values.to_numpy(float)[kept], slices(len(values), streams)[kept])


def slice_gaps(file: Path, streams: int) -> Sliced:
    """Slice the times between tokens of a level's Parquet file."""
    requests = read_requests(file)
    taken = _taken(requests, is_completed(Samples(requests, file)).to_numpy())
    places = np.full(len(requests), -1, np.int32)
    places[taken] = slices(len(taken), streams)
    pairs = [*_gaps(file, places)]
    values, owners = (np.concatenate([pair[at] for pair in pairs] or [np.empty(0)]) for at in (0, 1))
    return Sliced(values, owners.astype(np.int32))


def _taken(requests: pd.DataFrame, done: npt.NDArray[np.bool_]) -> Places:
    """Select rows of completed requests in the order of sending: all, or as many as suffice."""
    in_order = np.flatnonzero(done)[np.argsort(requests["sent_at_ns"].to_numpy()[done], kind="stable")]
    return in_order[:: 1 + int(requests["counted_tokens"].to_numpy()[done].sum()) // ENOUGH_TOKENS]


def _gaps(file: Path, places: npt.NDArray[np.int32]) -> Iterator[tuple[Values, npt.NDArray[np.int32]]]:
    """Yield the gaps of the requests that have a place, with that place."""
    for chunks in read_chunks(file):
        mine = places[chunks.samples]
        wanted = mine >= 0
        yield chunks.gaps_s(wanted).astype(np.float32), np.repeat(mine[wanted], _each(chunks)[wanted])


def _each(chunks: Chunks) -> Places:
    """Count the gaps of each sample: one for each token, except those of its first chunk."""
    counted = chunks.each()["counted_tokens"].to_numpy()
    some, begins = chunks.counts > 0, chunks.ends - chunks.counts
    first = np.append(chunks.tokens, 0)[begins]
    return np.where(some, counted - first, 0)
