"""Exports of a run: LLMPerf's files, or the views of the results file as Parquet or CSV."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from shapebench.analysis.summary import STAT_FUNCTIONS
from shapebench.errors import ShapebenchError
from shapebench.results import database
from shapebench.results.imports.llmperf import EXPORTED, OF_SUMMARY, RESPONSES, STATS, SUMMARY
from shapebench.results.views import RunRow, read_run
from shapebench.runs.run_file import RunNotFoundError
from shapebench.spec import metric_definitions
from shapebench.support.atomic_file import atomic_write

# The views that hold a run's rows, each a file of its own.
VIEWS = (
    "runs",
    "level_summary",
    "scaling",
    "saturation",
    "slos",
    "searches",
    "metrics",
    "requests",
    "findings",
    "timeline",
    "client_health",
    "server_timeline",
    "server_requests",
    "server_metrics",
    "artifacts",
    "shared_links",
)
LLMPERF_FORMAT = "2023-08-31"  # the version of the form that LLMPerf has written ever since


@dataclass(frozen=True)
class Source:
    """The run that is exported."""

    data: Path
    run_id: str

    def rows(self, view: str) -> pa.Table:
        return database.query(self.data, f"FROM {view} WHERE run_id = ?", [self.run_id])


def export(data: Path, run_id: str, form: str, to: Path | None) -> list[Path]:
    """Write a run's files in a format of FORMATS and return their paths; raises ShapebenchError."""
    source = Source(data, run_id)
    if not source.rows("runs").num_rows:
        raise RunNotFoundError(f"{data / database.FILE_NAME} has no run {run_id}.", "`shapebench runs` lists them.")
    folder = to or data / "exports" / run_id / form
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return FORMATS[form](source, folder)
    except OSError as error:
        raise ShapebenchError(f"Cannot write to {folder}: {error.strerror}.", "Use another folder (--to).") from None


def _parquet(source: Source, folder: Path) -> list[Path]:
    return [_written(folder / f"{view}.parquet", source.rows(view), pq.write_table) for view in VIEWS]


def _csv(source: Source, folder: Path) -> list[Path]:
    return [_written(folder / f"{view}.csv", _flat(source.rows(view)), pa_csv.write_csv) for view in VIEWS]


def _written(file: Path, rows: pa.Table, write: Callable[[pa.Table, Path], None]) -> Path:
    with atomic_write(file) as unfinished:
        write(rows, unfinished)
    return file


def _flat(rows: pa.Table) -> pa.Table:
    """Convert lists to JSON text: CSV has no lists."""
    for index, column in enumerate(rows.schema):
        if pa.types.is_list(column.type):
            texts = [None if value is None else json.dumps(value) for value in rows[column.name].to_pylist()]
            rows = rows.set_column(index, column.name, pa.array(texts, pa.string()))
    return rows


def _llmperf(source: Source, folder: Path) -> list[Path]:
    """Write a folder for each level, since LLMPerf's file names lack the concurrency."""
    run = read_run(source.data, source.run_id)
    levels, requests, numbers = source.rows("raw.levels").to_pylist(), source.rows("requests"), _numbers(source, run)
    lengths = _requested_lengths(run, numbers.values())
    each = [
        LevelRows(run, level, _measured_requests(requests, level), numbers[level["concurrency"]], lengths)
        for level in levels
    ]
    return [file for of in each for file in _llmperf_level(folder / f"level-{of.level['concurrency']:04d}", of)]


Numbers = Mapping[tuple[str, str], float]  # metric and stat -> value


class StoredLevel(TypedDict):
    """The columns of raw.levels that are exported."""

    concurrency: int
    completed: int | None
    failed: int | None
    started_at: datetime
    wall_s: float | None


class RequestRow(TypedDict):
    """The columns of the view `requests` that are exported."""

    ttft_s: float | None
    e2e_s: float | None
    query_tokens_per_s: float | None
    input_tokens: int | None
    output_tokens: int | None
    http_status: int | None
    error_kind: str | None
    error_message: str | None


@dataclass(frozen=True)
class LevelRows:
    """A level's rows that LLMPerf's files are made from."""

    run: RunRow
    level: StoredLevel
    requests: list[RequestRow]  # without warm-up
    numbers: Numbers
    lengths: Mapping[str, int | None]  # that were requested


def _numbers(source: Source, run: RunRow) -> dict[int, Numbers]:
    """Read each level's numbers, except those whose names mean something else in LLMPerf's files."""
    result: dict[int, dict[tuple[str, str], float]] = defaultdict(dict)
    own = run["source"] == "llmperf"
    for row in source.rows("metrics").to_pylist():
        if own or (row["differs"] is None and row["metric"] != "inter_token_s"):
            result[row["concurrency"]][row["metric"], row["stat"]] = row["value"]
    return defaultdict(dict, result)


def _measured_requests(requests: pa.Table, level: StoredLevel) -> list[RequestRow]:
    mine = pc.and_(pc.equal(requests["concurrency"], level["concurrency"]), pc.invert(requests["warmup"]))
    rows: list[RequestRow] = requests.filter(mine).sort_by("request_index").to_pylist()
    return rows


def _llmperf_level(folder: Path, of: LevelRows) -> list[Path]:
    summary = _summary(of)
    name = _name(summary)
    folder.mkdir(parents=True, exist_ok=True)
    contents: dict[str, object] = {f"{name}{SUMMARY}": {**summary, "name": f"{name}{SUMMARY}"}}
    if of.requests:
        contents[f"{name}{RESPONSES}"] = [_response(row) for row in of.requests]
    for stem, content in contents.items():
        with atomic_write(folder / f"{stem}.json") as unfinished:
            unfinished.write_text(json.dumps(content, indent=4), encoding="utf-8")
    return [folder / f"{stem}.json" for stem in contents]


def _name(summary: Mapping[str, object]) -> str:
    """Build the file name as LLMPerf does."""
    name = f"{summary['model']}_{summary['mean_input_tokens']}_{summary['mean_output_tokens']}"
    return re.sub(r"-{2,}", "-", re.sub(r"[^\w\d-]+", "-", name))


def _summary(of: LevelRows) -> dict[str, object]:
    level, run = of.level, of.run
    ended_at = level["started_at"] + timedelta(seconds=level["wall_s"] or 0)
    ours = {EXPORTED: run["run_id"]} if run["source"] == "shapebench" else {}
    return {
        "version": LLMPERF_FORMAT,
        "name": "",
        "model": run["model"],
        **of.lengths,
        "num_concurrent_requests": level["concurrency"],
        **_distributions(of),
        **_totals(of),
        **ours,
        "timestamp": int(ended_at.replace(tzinfo=UTC).timestamp()),
    }


def _requested_lengths(run: RunRow, of_levels: Collection[Numbers]) -> dict[str, int | None]:
    """Return the requested lengths; if unknown, the mean of the measured ones."""
    workload, result = run["spec"].get("workload", {}), {}
    for side in ("input", "output"):
        requested = workload.get(f"{side}_tokens", {})
        measured = [value for numbers in of_levels if (value := numbers.get((f"{side}_tokens", "mean"))) is not None]
        result[f"mean_{side}_tokens"] = _rounded(requested.get("mean", float(np.mean(measured)) if measured else None))
        result[f"stddev_{side}_tokens"] = _rounded(requested.get("stddev"))
    return result


def _rounded(value: float | None) -> int | None:
    """Round to a whole number, as LLMPerf requires."""
    return None if value is None else round(value)


def _distributions(of: LevelRows) -> dict[str, float]:
    """Compute all quantiles from the requests, even from a few, as LLMPerf does; without requests, use stored ones."""
    result: dict[str, float] = {}
    completed = [_response(row) for row in of.requests if row["error_kind"] is None]
    for theirs, ours in OF_SUMMARY.items():
        values = [row[theirs] for row in completed if row[theirs] is not None]
        for stat, name in STATS.items():
            value = float(STAT_FUNCTIONS[stat](np.array(values, float))) if values else of.numbers.get((ours, stat))
            if value is not None and np.isfinite(value):
                result[f"results_{theirs}_{name}"] = value
    return result


def _totals(of: LevelRows) -> dict[str, float | str]:
    errors = Counter(_error_code(row) for row in of.requests if row["error_kind"] is not None)
    done, gone = of.level["completed"], of.level["failed"]
    given = {
        "results_num_requests_started": None if done is None or gone is None else done + gone,
        "results_error_rate": of.numbers.get(("error_rate", metric_definitions.TOTAL)),
        "results_number_errors": gone,
        "results_error_code_frequency": str(dict(errors)),
        "results_mean_output_throughput_token_per_s": of.numbers.get(("system_tokens_per_s", metric_definitions.TOTAL)),
        "results_num_completed_requests": done,
        "results_num_completed_requests_per_min": of.numbers.get(("requests_per_min", metric_definitions.TOTAL)),
    }
    return {name: value for name, value in given.items() if value is not None}


def _error_code(row: RequestRow) -> int:
    """Return the HTTP status, or LLMPerf's -1 for an error without one."""
    return row["http_status"] if row["http_status"] not in (None, 200) else -1


def _response(row: RequestRow) -> dict[str, float | str | None]:
    """Convert a request to LLMPerf's fields: one that failed has an error, and times of 0."""
    failed = row["error_kind"] is not None
    e2e_s, tokens_in, tokens_out = row["e2e_s"], row["input_tokens"], row["output_tokens"]
    return {
        "error_code": _error_code(row) if failed else None,
        "error_msg": (row["error_message"] or "") if failed else "",
        # LLMPerf's: the TTFT is among the gaps, whose sum is the whole time
        "inter_token_latency_s": 0 if failed else e2e_s / tokens_out if e2e_s and tokens_out else None,
        "ttft_s": 0 if failed else row["ttft_s"],
        "end_to_end_latency_s": 0 if failed else e2e_s,
        "request_output_throughput_token_per_s": 0 if failed else row["query_tokens_per_s"],
        "number_total_tokens": None if tokens_in is None or tokens_out is None else tokens_in + tokens_out,
        "number_output_tokens": tokens_out,
        "number_input_tokens": tokens_in,
    }


FORMATS: dict[str, Callable[[Source, Path], list[Path]]] = {"llmperf": _llmperf, "parquet": _parquet, "csv": _csv}
