"""Tables of the results file, made from a run's records."""

import math
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import orjson
import pandas as pd
import pyarrow as pa

from shapebench.analysis.capacity.tables import search_row, slo_rows
from shapebench.analysis.conclusion import Conclusion
from shapebench.analysis.early_stop import skipped
from shapebench.analysis.measured_level import MeasuredLevel, evaluate_level
from shapebench.analysis.timeline import timeline
from shapebench.runs.records import Artifact, Link, Run, ServerFacts, Verdict
from shapebench.runs.run_file import redact_spec

Row = dict[str, object]
Tables = dict[str, pa.Table]


def tables(
    run: Run, facts: ServerFacts, levels: list[MeasuredLevel], verdict: Verdict, conclusion: Conclusion
) -> Tables:
    """Build all tables of a run except artifacts and links."""
    outcome = {
        "finished_at": _finished_at(levels),
        "verdict": verdict.status,
        "headline": conclusion.headline,
        "levels_not_reached": _levels_not_reached(run, levels),
    }
    weighed = [evaluate_level(run.spec.limits.slos, m, verdict) for m in levels]
    searches = [search_row(run.run_id, run.spec.search, weighed, verdict)] if run.spec.search else []
    samples = [_requests(m) for m in levels if m.samples is not None]
    return {
        "runs": pa.Table.from_pylist([{**_run(run, facts), **outcome}]),
        "levels": pa.Table.from_pylist([_level(m, verdict) for m in levels]),
        "metrics": pa.Table.from_pylist([asdict(row) for m in levels for row in m.metrics]),
        "findings": pa.Table.from_pylist([asdict(f) for f in verdict.findings]),
        "slos": pa.Table.from_pylist([*slo_rows(run.run_id, weighed)]),
        "searches": pa.Table.from_pylist(searches),
        "timeline": pa.Table.from_pandas(_timelines(levels), preserve_index=False),
        "server_metrics": pa.Table.from_pandas(_server_metrics(levels), preserve_index=False),
        # Permissive: a column that is all there at one level may have gaps, or be empty, at another.
        **({"requests": pa.concat_tables(samples, promote_options="permissive")} if samples else {}),
    }


def _levels_not_reached(run: Run, levels: Iterable[MeasuredLevel]) -> list[int]:
    """List the levels that were not measured because queries were already too slow at fewer streams."""
    mean = ("query_tokens_per_s", "mean")
    got = {m.level.concurrency: {(r.metric, r.stat): r.value for r in m.metrics}.get(mean, math.nan) for m in levels}
    return [] if run.spec.search else [*skipped(run.spec.load, got.items())]


def _timelines(levels: Iterable[MeasuredLevel]) -> pd.DataFrame:
    of_levels = [
        timeline(m.samples).assign(run_id=m.level.run_id, concurrency=m.level.concurrency)
        for m in levels
        if m.samples is not None
    ]
    return pd.concat(of_levels) if of_levels else pd.DataFrame()


def _server_metrics(levels: Iterable[MeasuredLevel]) -> pd.DataFrame:
    """Concatenate the server metrics without the buckets between the first and last reading, which are most of them."""
    of_levels = [
        server.without_buckets_between().assign(run_id=m.level.run_id, concurrency=m.level.concurrency)
        for m in levels
        if m.samples is not None and (server := m.samples.server_metrics) is not None
    ]
    return pd.concat(of_levels) if of_levels else pd.DataFrame()


def artifact_tables(artifacts: Iterable[Artifact]) -> Tables:
    return {"artifacts": pa.Table.from_pylist([_artifact(artifact) for artifact in artifacts])}


def _artifact(artifact: Artifact) -> Row:
    row = {**asdict(artifact), "published_at": _utc(artifact.published_at)}
    del row["sent"]  # of this publishing alone
    return row


def link_table(rows: Iterable[Row]) -> Tables:
    return {"shared_links": pa.Table.from_pylist(list(rows))}


def link_row(link: Link) -> Row:
    """Build a link's row without its URL, which lets anybody in."""
    moments = {"created_at": _utc(link.created_at), "expires_at": _utc(link.expires_at)}
    return {"run_id": link.run_id, "link_id": link.link_id, "name": link.name, "place": link.place, **moments}


def _utc(moment: datetime) -> datetime:
    """Convert to UTC without a zone: DuckDB's TIMESTAMP WITH TIME ZONE needs an extension that is not bundled."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def _finished_at(levels: Iterable[MeasuredLevel]) -> datetime:
    return max(_utc(m.level.started_at) + timedelta(seconds=m.level.wall_s) for m in levels)


def _run(run: Run, facts: ServerFacts) -> Row:
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
        "resumed_at": [_utc(at) for at in run.resumed_at],
        "skipped_levels": list(run.skipped_levels),
        "spec": redact_spec(spec).model_dump_json(),
        "facts": orjson.dumps(_brief(facts)).decode(),
        "versions": orjson.dumps(run.versions).decode(),
        "machine": orjson.dumps(run.machine).decode(),
    }


def _brief(facts: ServerFacts) -> Row:
    """Return the facts with the number of vocabulary words; run.json has the words."""
    content = asdict(facts)
    return {**content, "sizing": {**content["sizing"], "words": len(facts.sizing.words)}}


def _level(m: MeasuredLevel, verdict: Verdict) -> Row:
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
        "token_counts": m.token_counts,
        "token_source": m.token_source,
        "enforced_output_tokens": level.enforced_output_tokens,
        "exact_prompts": level.exact_prompts,
        "client": orjson.dumps({**level.client, "calibration": level.calibration}).decode(),
        "samples": level.samples.name if level.samples else None,
        "error": level.error,
    }


# The fingerprint is the same in all, or a finding; the time to the answer is first_answer_s, else ttft_s.
NOT_STORED = ["fingerprint", "time_to_first_answer_s"]


def _requests(m: MeasuredLevel) -> pa.Table:
    """Build the request rows, most columns shared with the samples, not copied."""
    assert m.samples is not None
    requests = m.samples.requests.drop(columns=NOT_STORED, errors="ignore")
    rows = pa.Table.from_pandas(requests, preserve_index=False)
    of_level = {"run_id": pa.scalar(m.level.run_id), "concurrency": pa.scalar(m.level.concurrency)}
    for name, value in of_level.items():
        rows = rows.append_column(name, pa.repeat(value, len(rows)))
    return rows
