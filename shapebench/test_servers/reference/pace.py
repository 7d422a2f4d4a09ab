"""The pace of the reference server: when tokens are due."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, chain, repeat
from random import Random

from shapebench.errors import ShapebenchError


@dataclass(frozen=True)
class Pace:
    """A first token `ttft_s` after the request, each other one `gap_s` after the one before.

    `jitter` is relative: each of these times is drawn from 1 - jitter to 1 + jitter times its own.
    """

    ttft_s: float = 0.2
    gap_s: float = 0.02
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if not (self.ttft_s >= 0 and self.gap_s >= 0 and 0 <= self.jitter <= 1):
            raise ShapebenchError(
                f"The reference server cannot keep to {self}.",
                "Times are 0 s or more, and the jitter is between 0 and 1.",
            )

    def dues_ns(self, received_ns: int, tokens: int, seed: int) -> Iterator[int]:
        """Yield the time of the request, then those at which the tokens of its answer are due."""
        waits_ns = chain((round(self.ttft_s * 1e9),), repeat(round(self.gap_s * 1e9), tokens - 1))
        return accumulate(self._drawn(waits_ns, Random(seed)) if self.jitter else waits_ns, initial=received_ns)

    def _drawn(self, waits_ns: Iterator[int], random: Random) -> Iterator[int]:
        low, high = 1 - self.jitter, 1 + self.jitter
        return (round(wait_ns * random.uniform(low, high)) for wait_ns in waits_ns)
