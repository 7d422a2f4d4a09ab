"""Import of another tool's sweep as a run of the results file, with copies of its files."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from shapebench.errors import ShapebenchError
from shapebench.results import database
from shapebench.results.imports.answers import rows
from shapebench.results.imports.recognise import Sweep, sweeps
from shapebench.results.imports.tool import Caveat, Level
from shapebench.support.redact import redact, redact_mapping

UNKNOWN_SHAPE = "unknown shape"
ORIGINAL = "original"
NOT_OURS = "measured_by_shapebench"

# Columns of imported requests; raw.requests has more, which other tools do not report.
REQUESTS = pa.schema(
    [
        ("run_id", pa.string()),
        ("concurrency", pa.int32()),
        ("request_index", pa.int32()),
        ("warmup", pa.bool_()),
        *((name, pa.float64()) for name in ("ttft_s", "e2e_s", "tpot_s", "query_tokens_per_s")),
        *((name, pa.int32()) for name in ("input_tokens", "output_tokens")),
        ("response_id", pa.string()),
        ("http_status", pa.int16()),
        ("error_kind", pa.string()),
        ("error_message", pa.string()),
        ("sent_at_ns", pa.int64()),
        *((name, pa.null()) for name in ("counted_tokens", "first_token_s", "last_token_s")),  # the load passes over
    ]
)


@dataclass(frozen=True)
class Imported:
    """A run that was imported from another tool's files."""

    run_id: str
    tool: str
    tool_version: str | None
    model: str
    shape: str
    levels: list[int]
    files: list[str]


def take(paths: list[Path], data: Path, shape: str | None) -> list[Imported]:
    """Import all results in these paths, or none; importing them again changes only the shape.

    Without a shape, the one that the files name is taken.
    """
    return [_store(sweep, data, shape or sweep.origin.shape or UNKNOWN_SHAPE) for sweep in sweeps(paths)]


def _store(sweep: Sweep, data: Path, shape: str) -> Imported:
    run_id = run_id_of(sweep)
    kept = _keep(sweep, data / "runs" / run_id / ORIGINAL)
    database.load(data, run_id, tables(sweep, run_id, shape))
    origin = sweep.origin
    concurrencies = [level.concurrency for level in sweep.levels]
    return Imported(run_id, sweep.tool.label, origin.version, origin.model, shape, concurrencies, kept)


def run_id_of(sweep: Sweep) -> str:
    """Derive the run's id from the files' content, not their names or dates, so that an import can be repeated."""
    digests = sorted({document.digest for document in sweep.documents})
    short = hashlib.sha256("".join(digests).encode()).hexdigest()[:6]
    starts = [level.started_at for level in sweep.levels if level.started_at]
    return f"{min(starts):%Y%m%dT%H%M%S}-{short}" if starts else f"undated-{short}"


def _keep(sweep: Sweep, folder: Path) -> list[str]:
    """Copy the files unchanged, in the same folders relative to each other."""
    paths = [document.path.resolve() for document in sweep.documents]
    common = Path(os.path.commonpath([path.parent for path in paths]))
    try:
        for path in paths:
            copy = folder / path.relative_to(common)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if path != copy.resolve():  # somebody may import the originals again
                shutil.copy2(path, copy)
    except OSError as error:
        raise ShapebenchError(f"Cannot copy to {folder}: {error.strerror}.", "Use another folder (--data).") from None
    return [str(path.relative_to(common)) for path in paths]


def tables(sweep: Sweep, run_id: str, shape: str) -> dict[str, pa.Table]:
    """Build the run's tables, also empty ones, which replace an earlier import's rows."""
    of_run = {"run_id": run_id}
    of_levels = [(level, {**of_run, "concurrency": level.concurrency}) for level in sweep.levels]
    requests = [{**key, **row} for level, key in of_levels for row in rows(level.answers, level.differs)]
    return {
        "runs": pa.Table.from_pylist([{**of_run, **_run(sweep, shape)}]),
        "levels": pa.Table.from_pylist([{**key, **_level(level)} for level, key in of_levels]),
        "metrics": pa.Table.from_pylist([{**key, **asdict(n)} for level, key in of_levels for n in level.numbers]),
        "findings": pa.Table.from_pylist(
            [{**key, **found} for level, key in of_levels for found in _findings(sweep, level)]
        ),
        "requests": pa.Table.from_pylist(requests, schema=REQUESTS),
    }


def _run(sweep: Sweep, shape: str) -> dict[str, object]:
    origin = sweep.origin
    return {
        "started_at": min(map(_started_at, sweep.levels)),
        "finished_at": max(_started_at(level) + timedelta(seconds=level.wall_s or 0) for level in sweep.levels),
        "model": origin.model,
        "shape": shape,
        "url": redact(origin.url),
        "workload": origin.workload,
        "server": origin.server,
        "server_version": origin.server_version,
        "source": sweep.tool.source,
        "source_version": origin.version,
        "verdict": "suspect",
        "headline": _headline(sweep),
        "spec": "{}",
        "facts": _json(
            {"configuration": {str(level.concurrency): redact_mapping(level.configuration) for level in sweep.levels}}
        ),
        "versions": _json({sweep.tool.source: origin.version} if origin.version else {}),
        "machine": "{}",
    }


def _started_at(level: Level) -> datetime:
    """Return the start as the tool reports it, else when its file was last written; UTC without a zone."""
    started_at = level.started_at or datetime.fromtimestamp(level.documents[0].path.stat().st_mtime, UTC)
    return started_at.astimezone(UTC).replace(tzinfo=None)


def _json(content: Mapping[str, object]) -> str:
    return json.dumps(content)  # orjson takes no integer of more than 64 bits, and these are not ours


def _level(level: Level) -> dict[str, object]:
    return {
        "verdict": "suspect",
        "planned_requests": level.planned,
        "completed": level.completed,
        "failed": level.failed,
        "started_at": _started_at(level),
        "wall_s": level.wall_s,
    }


def _headline(sweep: Sweep) -> str:
    caveats = list(dict.fromkeys(caveat.name for level in sweep.levels for caveat in level.caveats))
    named = "".join(f"; {name.replace('_', ' ')}" for name in caveats)
    return f"Imported from {sweep.tool.label}: not validated{named}"


def _findings(sweep: Sweep, level: Level) -> list[dict[str, object]]:
    not_ours = Caveat(
        NOT_OURS,
        f"The level was measured by {sweep.tool.label}, not by shapebench.",
        "Its client, its prompts and the arrival of its tokens cannot be inspected, so none of the other "
        "expectations was checked.",
    )
    return [
        {
            "expectation": caveat.name,
            "severity": "suspect",
            "passed": False,
            "sentence": caveat.sentence,
            "reason": caveat.reason,
        }
        for caveat in (not_ours, *level.caveats)
    ]
