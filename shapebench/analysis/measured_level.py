"""A measured level: its samples read back and summarised, its row in the summary, its result against the SLOs."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from shapebench.analysis import level_samples
from shapebench.analysis.capacity.confidence import with_confidence
from shapebench.analysis.sample_reader import Samples
from shapebench.analysis.summary import may_be_claimed, summarise
from shapebench.runs.records import LevelRun, MetricRow, Verdict
from shapebench.server_metrics.reconcile import ServerMetrics
from shapebench.spec import metric_definitions
from shapebench.spec.slo import LevelResult, Slo, evaluate


@dataclass(frozen=True)
class MeasuredLevel:
    """A level, its samples (None where it has none) and its metrics.

    Percentiles of too few requests are `withheld`: neither stored nor drawn.
    """

    level: LevelRun
    samples: Samples | None
    metrics: tuple[MetricRow, ...]
    withheld: tuple[MetricRow, ...] = ()

    @cached_property
    def completed(self) -> int:
        return 0 if self.samples is None else int(level_samples.is_completed(self.samples).sum())

    @cached_property
    def failed(self) -> int:
        return 0 if self.samples is None else int(level_samples.is_measured(self.samples).sum()) - self.completed

    @property
    def token_counts(self) -> str | None:
        """Tell how the tokens of chunks are known: as those of the answer about which the least is known."""
        return self._last_of("token_counts", ("counted", "apportioned", "unknown"))

    @property
    def token_source(self) -> str | None:
        """Tell where the counts of tokens come from, of the answer whose count is the least certain."""
        return self._last_of("token_source", ("usage", "tokenize", "tokenizer", "chunks"))

    def _last_of(self, column: str, order: tuple[str, ...]) -> str | None:
        if self.samples is None or column not in self.samples.requests:
            return None
        found = set(level_samples.completed(self.samples, column)[column])
        return next((value for value in reversed(order) if value in found), None)


def summarise_level(level: LevelRun) -> MeasuredLevel:
    """Read a level's samples from its Parquet file and compute its metrics."""
    if level.samples is None:
        return MeasuredLevel(level, None, ())
    path, is_complete = level.server_metrics, level.server_error is None
    server = ServerMetrics.read(path, is_complete=is_complete) if path else None
    samples = level_samples.read(level.samples, server, level.slo_bounds)
    rows = summarise(level.run_id, level.concurrency, samples)
    claimed = [may_be_claimed(row.stat, row.sample_count) for row in rows]
    return MeasuredLevel(
        level,
        samples,
        metrics=tuple(row for row, enough in zip(rows, claimed, strict=True) if enough),
        withheld=tuple(row for row, enough in zip(rows, claimed, strict=True) if not enough),
    )


def level_frame(levels: Iterable[MeasuredLevel], verdict: Verdict) -> pd.DataFrame:
    """Return the rows that the view level_summary will show of these levels, before they are stored."""
    return pd.DataFrame([_row(m, verdict) for m in levels]).sort_values("concurrency", ignore_index=True)


def evaluate_level(slos: Iterable[Slo], m: MeasuredLevel, verdict: Verdict) -> LevelResult:
    """Compare a level's metrics with SLOs, each with its confidence interval where the samples allow one."""
    return with_confidence(evaluate(_row(m, verdict), slos), m.samples)


def _row(m: MeasuredLevel, verdict: Verdict) -> dict[str, object]:
    missing: dict[str, object] = dict.fromkeys(metric_definitions.COLUMNS, float("nan"))
    return {
        "run_id": m.level.run_id,
        "concurrency": m.level.concurrency,
        "verdict": verdict.levels[m.level.concurrency],
        "planned_requests": m.level.planned_requests,
        "completed": m.completed,
        "failed": m.failed,
        "wall_s": m.level.wall_s,
        "timestamps": m.level.timestamps,
        "token_counts": m.token_counts,
        "token_source": m.token_source,
        "error": m.level.error,
        **missing,
        **{metric_definitions.column_name(r.metric, r.stat): r.value for r in m.metrics},
    }
