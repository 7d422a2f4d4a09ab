"""Precision of a level's mean TTFT and throughput by batch means: for stopping a level, and for comparing two.

Requests of one level share a server and are correlated if they are close in time, so the spread of single requests
underestimates the error of their mean. The level is cut into slices of time instead, whose means are nearly independent
if slices are much longer than a request: batch means. 10 to 30 of them suffice (Schmeiser, Batch size effects in the
analysis of simulation output, Operations Research 30, 1982). Remaining correlation between neighbours widens the
interval, as for a first-order autoregression (Steiger and others, ASAP3, ACM TOMACS 15, 2005); none narrows it.

A mean is the ratio of two sums, TTFTs over answers and tokens over seconds, and a slice counts by how far its sums
are from that ratio. The mean of the slices' own TTFTs is different: slow slices have fewer answers, and some none.

Imports neither numpy nor scipy: processes that measure fill the buckets.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from typing import Self, TypedDict

from shapebench.support.timing import Timing, timing

BUCKET_S = 0.1
BUCKETS_OF_A_LEVEL = 1000  # that is over
SHORTEST_S = 1e-6  # of answers, so that one that came at once can be spread, too
ROUNDS_PER_BATCH = 2  # answers of each stream; a shorter slice is much like the next
MIN_BATCHES, ENOUGH_BATCHES, MAX_BATCHES = 5, 10, 30
MAX_CORRELATION = 0.9  # a higher one cannot be estimated from so few batches
MIN_S = Timing.precise_after_s  # a level is watched before it may count as precise
LOOK_GROWTH = 1.1  # from one look to the next
PASSES = 2  # looks in a row that find the level precise
Z = 1.959963984540054  # the normal distribution's quantile for two-sided 95 %


@dataclass
class Buckets:
    """Sums over a level's answers in equal spans of time from its start.

    An answer's tokens are spread evenly over its time, from the sending to the last token, so that an unchanging
    stream contributes equally to every slice. Counted by arrival, slices would differ by the number of waits for a
    first token in them, which at few streams would dominate the interval.
    """

    width_s: float = BUCKET_S
    answers: list[int] = field(default_factory=list)  # whose first token came in this bucket
    ttft_s: list[float] = field(default_factory=list)  # the sum of theirs
    tokens: list[float] = field(default_factory=list)

    def add_ttft(self, sent_s: float, ttft_s: float) -> None:
        """Add the TTFT of a completed answer to a request sent `sent_s` after the level's start."""
        bucket = self._reach(sent_s + ttft_s)
        self.answers[bucket] += 1
        self.ttft_s[bucket] += ttft_s

    def add_tokens(self, sent_s: float, e2e_s: float, tokens: float) -> None:
        """Add the tokens of an answer, also of warm-up and failed requests."""
        e2e_s = max(e2e_s, SHORTEST_S)
        end_s = sent_s + e2e_s
        first, last = self._reach(sent_s), self._reach(end_s)
        share = tokens * self.width_s / e2e_s
        for bucket in range(first, last + 1):
            self.tokens[bucket] += share
        self.tokens[first] -= share * (sent_s / self.width_s - first)
        self.tokens[last] -= share * (last + 1 - end_s / self.width_s)

    def _reach(self, at_s: float) -> int:
        """Return the bucket of this moment; it exists afterwards."""
        bucket = max(int(at_s / self.width_s), 0)
        if (more := bucket + 1 - len(self.tokens)) > 0:
            self.answers += [0] * more
            self.ttft_s += [0.0] * more
            self.tokens += [0.0] * more
        return bucket

    def take(self) -> "BucketsMessage":
        """Return and remove the data since the last call, to be added to the buckets of another process."""
        pairs = zip(self.answers, self.tokens, strict=True)
        begin = next((bucket for bucket, pair in enumerate(pairs) if any(pair)), len(self.tokens))
        message: BucketsMessage = {
            "begin": begin,
            "answers": self.answers[begin:],
            "ttft_s": self.ttft_s[begin:],
            "tokens": self.tokens[begin:],
        }
        self.answers, self.ttft_s, self.tokens = [], [], []
        return message

    def add(self, message: "BucketsMessage") -> None:
        """Add data taken from buckets of the same width and start."""
        rows = zip(message["answers"], message["ttft_s"], message["tokens"], strict=True)
        for bucket, (answers, ttft_s, tokens) in enumerate(rows, message["begin"]):
            self._reach((bucket + 0.5) * self.width_s)
            self.answers[bucket] += answers
            self.ttft_s[bucket] += ttft_s
            self.tokens[bucket] += tokens

    @classmethod
    def merge(cls, parts: Sequence[Self]) -> Self:
        """Add the buckets of processes that share a level: their starts and widths are the same.

        Row by row, not by `add`: a long level has thousands of buckets, and they are merged several times a second.
        """
        return cls(
            parts[0].width_s if parts else BUCKET_S,
            [sum(counts) for counts in zip_longest(*(part.answers for part in parts), fillvalue=0)],
            [sum(sums) for sums in zip_longest(*(part.ttft_s for part in parts), fillvalue=0.0)],
            [sum(sums) for sums in zip_longest(*(part.tokens for part in parts), fillvalue=0.0)],
        )


class BucketsMessage(TypedDict):
    """Buckets from `begin` on, as one process sends them to another."""

    begin: int
    answers: list[int]
    ttft_s: list[float]
    tokens: list[float]


@dataclass(frozen=True)
class Interval:
    """A mean and how far the true one may be from it, at 95 % confidence."""

    mean: float
    standard_error: float
    freedom: float  # degrees of it, for Student's t

    @property
    def half_width(self) -> float:
        return t_quantile(self.freedom) * self.standard_error

    @property
    def relative(self) -> float:
        return self.half_width / abs(self.mean) if self.mean else math.inf


@dataclass(frozen=True)
class Precision:
    """The intervals of both means; None: too few requests."""

    ttft: Interval | None = None  # s
    throughput: Interval | None = None  # tokens/s


def t_quantile(freedom: float) -> float:
    """Return Student's t, two-sided 95 %; within 0.1 % from 3 degrees on (Abramowitz and Stegun, 26.7.5)."""
    terms = (
        Z,
        (Z**3 + Z) / 4,
        (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96,
        (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384,
        (79 * Z**9 + 776 * Z**7 + 1482 * Z**5 - 1920 * Z**3 - 945 * Z) / 92_160,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))


def precision(buckets: Buckets, from_s: float, to_s: float, streams: int) -> Precision:
    """Estimate the precision of a level of so many streams, between two moments after its start.

    `from_s` is when all streams are past their warm-up. `to_s` must not be after the earliest sending of a request
    that is still to be added: later buckets lack the data of such requests, above all of the slowest.
    """
    first, end = math.ceil(round(from_s / buckets.width_s, 6)), int(round(to_s / buckets.width_s, 6))
    answers, ttft_s, tokens = (
        _between(values, first, end) for values in (buckets.answers, buckets.ttft_s, buckets.tokens)
    )
    batches = min(MAX_BATCHES, len(answers), int(sum(answers)) // (ROUNDS_PER_BATCH * streams))
    if batches < MIN_BATCHES:
        return Precision()
    return Precision(
        _batched_ratio(ttft_s, answers, batches), _batched_ratio(tokens, [buckets.width_s] * len(tokens), batches)
    )


def _between(values: Sequence[float], first: int, end: int) -> list[float]:
    """Return some buckets; those that nothing has reached yet are empty."""
    return [*values[first:end], *[0.0] * (end - max(first, len(values)))]


def _batched_ratio(over: list[float], under: list[float], batches: int) -> Interval:
    """Estimate the ratio of two sums over time from that many slices."""
    borders = [round(slice_ * len(over) / batches) for slice_ in range(batches + 1)]
    return ratio_interval([(sum(over[a:b]), sum(under[a:b])) for a, b in pairwise(borders)])


def ratio_interval(slices: Sequence[tuple[float, float]]) -> Interval:
    """Estimate the ratio of two sums from the parts of each slice."""
    batches, under = len(slices), sum(part for _, part in slices)
    mean = sum(part for part, _ in slices) / under
    residuals = [over_part - mean * under_part for over_part, under_part in slices]
    squares = sum(residual**2 for residual in residuals)
    variance = squares / (batches * (batches - 1)) * (batches / under) ** 2
    return Interval(mean, math.sqrt(variance * correlation_factor(residuals)), batches - 1)


def correlation_factor(residuals: Sequence[float]) -> float:
    """Estimate how much more the mean of correlated batches varies than that of independent ones.

    The estimate from few batches is too low by about one over their number (Marriott and Pope, Biometrika 41, 1954).
    Half its standard error is added, since otherwise levels would stop when correlation is underestimated by chance.
    """
    squares = sum(residual**2 for residual in residuals)
    if not squares:
        return 1.0
    observed = sum(before * after for before, after in pairwise(residuals)) / squares
    cautious = observed + 1 / len(residuals) + 0.5 / math.sqrt(len(residuals))
    correlation = min(max(cautious, 0.0), MAX_CORRELATION)
    return (1 + correlation) / (1 - correlation)


def is_precise(found: Precision, within: float) -> bool:
    """Check whether both intervals are within this share of the mean, from enough batches."""
    return all(
        interval is not None and interval.freedom + 1 >= ENOUGH_BATCHES and interval.relative <= within
        for interval in (found.ttft, found.throughput)
    )


@dataclass
class UntilPrecise:
    """Stopping rule for a level that is being measured.

    A rule that stops as soon as the interval is narrow stops when it is too narrow by chance. So it is not evaluated
    before ENOUGH_BATCHES and MIN_S, then only each time that the level is LOOK_GROWTH as long, and must be narrow
    PASSES times in a row. In simulations, with neighbouring TTFTs correlated at 0 to 0.8, the intervals at the stop
    then contained the true mean in 91 to 97 % of levels.
    """

    within: float
    streams: int
    _next_look_s: float = field(default_factory=lambda: timing().precise_after_s)
    _passes: int = 0

    def reached(self, buckets: Buckets, from_s: float, to_s: float) -> bool:
        """Check whether to stop; may be called at any time, with the times of `precision`."""
        length_s = to_s - from_s
        if length_s < self._next_look_s:
            return False
        self._next_look_s = LOOK_GROWTH * length_s
        enough = is_precise(precision(buckets, from_s, to_s, self.streams), self.within)
        self._passes = self._passes + 1 if enough else 0
        return self._passes >= PASSES


def difference(before: Interval, after: Interval) -> Interval:
    """Return the difference of two means (Welch)."""
    errors = before.standard_error, after.standard_error
    error = math.hypot(*errors)
    spent = sum(e**4 / i.freedom for e, i in zip(errors, (before, after), strict=True))
    return Interval(after.mean - before.mean, error, error**4 / spent if spent else before.freedom + after.freedom)


def differ(a: Interval, b: Interval) -> bool:
    """Test two means at the 5 % level; in simulations 3 to 5 % of equal pairs differed."""
    found = difference(a, b)
    return abs(found.mean) > found.half_width
