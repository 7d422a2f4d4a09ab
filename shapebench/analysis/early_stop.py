"""Levels that are not measured, since queries are too slow at fewer streams already."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from shapebench.analysis import level_samples
from shapebench.runs import run_file
from shapebench.runs.records import Run
from shapebench.runs.run_file import RunFile
from shapebench.spec.model import Load


@dataclass(frozen=True)
class SlowLevel:
    """The lowest concurrency at which a query got less than `load.stop_below_query_tokens_per_s` on average."""

    concurrency: int
    query_tokens_per_s: float


def too_slow(load: Load, measured: Iterable[tuple[int, float]]) -> SlowLevel | None:
    """Find the lowest level that was too slow; `measured`: concurrency and tokens/s per query, NaN where unknown."""
    bound = load.stop_below_query_tokens_per_s
    slow = [SlowLevel(*level) for level in measured if bound and level[1] < bound]
    return min(slow, key=lambda level: level.concurrency, default=None)


def stopped_by(run: Run, concurrency: int) -> SlowLevel | None:
    """Return the level, of those measured before, that is the reason not to measure this one."""
    load = run.spec.load
    if run.spec.search or not load.stop_below_query_tokens_per_s:
        return None
    before = run_file.load(run.spec.data, run.run_id).measured
    fewer = [(level.concurrency, level.samples) for level in before if level.concurrency < concurrency]
    return too_slow(load, ((n, _query_tokens_per_s(samples)) for n, samples in fewer if samples))


def _query_tokens_per_s(samples: Path) -> float:
    return float(
        level_samples.completed(level_samples.read(samples), "query_tokens_per_s")["query_tokens_per_s"].mean()
    )


def skipped(load: Load, measured: Iterable[tuple[int, float]]) -> tuple[int, ...]:
    """List the levels that were not measured for this reason."""
    levels = dict(measured)
    slow = too_slow(load, levels.items())
    return tuple(n for n in load.levels if slow and n > slow.concurrency and n not in levels)


def is_measured(content: RunFile) -> bool:
    """Return whether nothing is left to measure, but for levels at which queries would be too slow."""
    return content.facts is not None and all(stopped_by(content.run, n) for n in content.to_measure)
