"""Token counts of prompts and answers, drawn from a distribution."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Lengths:
    """A normal distribution of token counts, cut at four standard deviations and at 1."""

    mean: float
    stddev: float

    @property
    def min_tokens(self) -> int:
        return max(1, round(self.mean - 4 * self.stddev))

    @property
    def max_tokens(self) -> int:
        return max(1, round(self.mean + 4 * self.stddev))

    def draw(self, rng: random.Random) -> int:
        return min(self.max_tokens, max(self.min_tokens, round(rng.gauss(self.mean, self.stddev))))
