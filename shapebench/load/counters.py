"""Counters that a process reports while it measures; they add up over the processes of a level."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import cast

from shapebench.load.messages import TallyMessage
from shapebench.runs.samples_file import Sample
from shapebench.support.timestamps import clock_ns


@dataclass(frozen=True)
class Progress:
    """The progress of a level; the means are over the answers so far."""

    completed: int
    failed: int
    planned: int | None  # requests; None: as many as the time allows
    tokens_per_s: float
    ttft_s: float | None
    measured_s: float = 0.0  # since the first measured request was sent


@dataclass
class Tally:
    """Sums over the measured requests of one process."""

    sent: int = 0
    completed: int = 0
    failed: int = 0
    tokens: int = 0
    ttft_s: float = 0.0
    measured_from_ns: int | None = None  # the first measured request was sent
    steady_from_ns: int | None = None  # every stream had sent one
    complete_until_ns: int = 0  # no request that was sent before is missing from the sums

    def message(self) -> TallyMessage:
        """Return what `Tally(**message)` takes in another process."""
        return cast("TallyMessage", asdict(self))

    def add(self, done: Sample) -> None:
        if done.warmup:
            return
        if done.error_kind:
            self.failed += 1
        else:
            self.completed += 1
            self.tokens += done.output_tokens or 0
            self.ttft_s += done.chunk_offsets_s[0]


def sum_progress(tallies: Sequence[Tally], planned: int | None) -> Progress:
    """Sum the counters of all processes of a level."""
    completed = sum(t.completed for t in tallies)
    begun_ns = min((t.measured_from_ns for t in tallies if t.measured_from_ns), default=None)
    measured_s = (clock_ns() - begun_ns) / 1e9 if begun_ns else 0.0
    return Progress(
        completed=completed,
        failed=sum(t.failed for t in tallies),
        planned=planned,
        tokens_per_s=sum(t.tokens for t in tallies) / measured_s if measured_s else 0.0,
        ttft_s=sum(t.ttft_s for t in tallies) / completed if completed else None,
        measured_s=measured_s,
    )
