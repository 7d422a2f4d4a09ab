"""From records to the tables of the results file: pure."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa

from shapebench import metrics
from shapebench.conclusion import Conclusion
from shapebench.evidence.account import Account
from shapebench.records import Artifact, Facts, LevelRun, MetricRow, Run, Verdict
from shapebench.samples import Samples
from shapebench.timeline import timeline

Tables = dict[str, pa.Table]


@dataclass(frozen=True)
class Measured:
    """A level, its samples (None where it has none) and what they amount to.

    A percentile is withheld where too few requests stand behind it: it is neither stored nor drawn.
    """

    level: LevelRun
    samples: Samples | None
    metrics: tuple[MetricRow, ...]
    withheld: tuple[MetricRow, ...] = ()

    @cached_property
    def completed(self) -> int:
        return 0 if self.samples is None else int(metrics.is_completed(self.samples).sum())

    @cached_property
    def failed(self) -> int:
        return 0 if self.samples is None else int(metrics.is_measured(self.samples).sum()) - self.completed


def measured(level: LevelRun) -> Measured:
    """Read a level's samples back and summarise them."""
    if level.samples is None:
        return Measured(level, None, ())
    account = Account.read(level.server_metrics, is_whole=level.server_error is None) if level.server_metrics else None
    samples = metrics.read(level.samples, account)
    rows = metrics.summarise(level.run_id, level.concurrency, samples)
    claimed, withheld = (
        tuple(row for row in rows if metrics.may_be_claimed(row.stat, row.sample_count) == wanted)
        for wanted in (True, False)
    )
    return Measured(level, samples, claimed, withheld)


def level_summary(levels: Iterable[Measured], verdict: Verdict) -> pd.DataFrame:
    """The rows that the view level_summary will show, before they are stored."""
    return pd.DataFrame([_wide(m, verdict) for m in levels]).sort_values("concurrency", ignore_index=True)


def _wide(m: Measured, verdict: Verdict) -> dict[str, Any]:
    nothing: dict[str, float] = dict.fromkeys(metrics.COLUMNS, float("nan"))
    return {**_level(m, verdict), **nothing, **{metrics.column_name(r.metric, r.stat): r.value for r in m.metrics}}


def tables(run: Run, facts: Facts, levels: list[Measured], verdict: Verdict, conclusion: Conclusion) -> Tables:
    """All of a run's rows but its artifacts."""
    outcome = {"finished_at": _finished_at(levels), "verdict": verdict.standing, "headline": conclusion.headline}
    samples = [_requests(m) for m in levels if m.samples is not None]
    return {
        "runs": pa.Table.from_pylist([{**_run(run, facts), **outcome}]),
        "levels": pa.Table.from_pylist([_level(m, verdict) for m in levels]),
        "metrics": pa.Table.from_pylist([asdict(row) for m in levels for row in m.metrics]),
        "findings": pa.Table.from_pylist([asdict(f) for f in verdict.findings]),
        "timeline": pa.Table.from_pandas(_timelines(levels), preserve_index=False),
        "server_metrics": pa.Table.from_pandas(_server_metrics(levels), preserve_index=False),
        # Permissive: a column that is all there at one level may have gaps, or be empty, at another.
        **({"requests": pa.concat_tables(samples, promote_options="permissive")} if samples else {}),
    }


def _timelines(levels: Iterable[Measured]) -> pd.DataFrame:
    of_levels = [
        timeline(m.samples).assign(run_id=m.level.run_id, concurrency=m.level.concurrency)
        for m in levels
        if m.samples is not None
    ]
    return pd.concat(of_levels) if of_levels else pd.DataFrame()


def _server_metrics(levels: Iterable[Measured]) -> pd.DataFrame:
    """What the servers said, but for buckets between the first and the last look: those are most of it."""
    of_levels = [
        m.samples.account.without_buckets_between().assign(run_id=m.level.run_id, concurrency=m.level.concurrency)
        for m in levels
        if m.samples is not None and m.samples.account is not None
    ]
    return pd.concat(of_levels) if of_levels else pd.DataFrame()


def artifact_tables(artifacts: Iterable[Artifact]) -> Tables:
    return {"artifacts": pa.Table.from_pylist([{**asdict(a), "published_at": _utc(a.published_at)} for a in artifacts])}


def _utc(moment: datetime) -> datetime:
    """Without its zone: DuckDB's TIMESTAMP WITH TIME ZONE needs an extension that is not in the package."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def _finished_at(levels: Iterable[Measured]) -> datetime:
    return max(_utc(m.level.started_at) + timedelta(seconds=m.level.wall_s) for m in levels)


def _run(run: Run, facts: Facts) -> dict[str, Any]:
    spec = run.spec
    return {
        "run_id": run.run_id,
        "started_at": _utc(run.started_at),
        "model": spec.endpoint.model,
        "shape": spec.endpoint.shape,
        "url": spec.endpoint.url,
        "workload": spec.workload.name,
        "server": facts.server,
        "server_version": facts.version,
        "seed": run.seed,
        "git_revision": run.git_revision,
        "spec": spec.model_dump_json(),
        "facts": orjson.dumps(_brief(facts)).decode(),
        "versions": orjson.dumps(run.versions).decode(),
        "machine": orjson.dumps(run.machine).decode(),
    }


def _brief(facts: Facts) -> dict[str, Any]:
    """Without the vocabulary: run.json has it."""
    content = asdict(facts)
    content["sizing"]["words"] = len(facts.sizing.words)
    return content


def _level(m: Measured, verdict: Verdict) -> dict[str, Any]:
    level = m.level
    return {
        "run_id": level.run_id,
        "concurrency": level.concurrency,
        "verdict": verdict.levels[level.concurrency],
        "planned_requests": level.planned_requests,
        "completed": m.completed,
        "failed": m.failed,
        "started_at": _utc(level.started_at),
        "wall_s": level.wall_s,
        "timestamps": level.timestamps,
        "enforced_output_tokens": level.enforced_output_tokens,
        "exact_prompts": level.exact_prompts,
        "client": orjson.dumps({**level.client, "calibration": level.calibration}).decode(),
        "samples": level.samples.name if level.samples else None,
        "error": level.error,
    }


def _requests(m: Measured) -> pa.Table:
    """As it lies in memory: most columns are shared with the samples, not copied."""
    assert m.samples is not None
    requests = m.samples.requests.drop(columns="fingerprint", errors="ignore")  # the same in all, or a finding says so
    rows = pa.Table.from_pandas(requests, preserve_index=False)
    of_level = {"run_id": pa.scalar(m.level.run_id), "concurrency": pa.scalar(m.level.concurrency)}
    for name, value in of_level.items():
        rows = rows.append_column(name, pa.repeat(value, len(rows)))
    return rows
