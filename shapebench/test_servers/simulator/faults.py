"""Faults of a server, to test whether they are detected."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fractions import Fraction

from pydantic import NonNegativeInt

from shapebench.test_servers.simulator.settings import Amount, Share, changed


@dataclass(frozen=True)
class Faults:
    """Faults of a simulator; none if all are 0.

    Requests that are not streamed, and those of a probe, are correct except for the last three faults.
    """

    refused: Share = 0.0  # of streamed requests: answered with 503
    zero_usage: Share = 0.0  # of streamed answers: usage says 0 completion tokens
    merged: Share = 0.0  # of streamed tokens: sent in one event with the token before; usage counts all
    short_tokens: NonNegativeInt = 0  # that many tokens are missing at the end of each answer; one stays
    prompt_tokens_off: NonNegativeInt = 0  # usage and /metrics say that many prompt tokens more than there are
    bunched: NonNegativeInt = 0  # tokens are delayed until there are that many, then written together
    drift_s_per_s: Amount = 0.0  # a first token is so much later for each second since the first streamed request
    uncounted: Share = 0.0  # of streamed requests: not in /metrics, as if another replica had served them
    other_version_after: NonNegativeInt = 0  # streamed requests, after which /version names another version
    hidden_metrics: NonNegativeInt = 0  # 1: there is no /metrics
    ttft_factor: Amount = 0.0  # the TTFT in /metrics is multiplied by this; 0 leaves it as it is

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in asdict(self).items() if value)


HONEST = Faults()


def parse_faults(words: Iterable[str]) -> Faults:
    """Read faults from words such as `refused=0.1`; raises ShapebenchError with all that is wrong."""
    return changed(HONEST, words, "fault")


class Picks:
    """Picks that share of its calls, evenly spread: with 0.1 every tenth."""

    def __init__(self, share: float) -> None:
        self._step, self._full = Fraction(str(share)).as_integer_ratio()  # as it was typed: 0.29 is 29/100
        self._sum = 0

    def __call__(self, may: bool = True) -> bool:
        """Decide whether this call is picked; if it may not be, the next one is."""
        self._sum += self._step
        picked = may and self._sum >= self._full
        self._sum -= self._full * picked
        return picked
