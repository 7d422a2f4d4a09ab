"""Rows of the results file's views as Python reads them: their types, and the queries that fetch them."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict

import pandas as pd
import pyarrow as pa

from shapebench.apis.reading import TokenSource
from shapebench.apis.token_counts import TokenCounts
from shapebench.results import database
from shapebench.runs.run_file import RunNotFoundError

JsonObject: TypeAlias = dict[str, Any]
Status = Literal["valid", "suspect", "invalid"]

_JSON_COLUMNS: tuple[Literal["spec", "facts", "versions", "machine"], ...] = ("spec", "facts", "versions", "machine")
_ENDPOINT_COLUMNS = ("source", "url", "model", "shape", "workload")


class RunRow(TypedDict):
    """A row of the view `runs`; the JSON columns are parsed."""

    run_id: str
    started_at: datetime  # UTC, without a zone
    finished_at: datetime
    duration_s: float
    model: str
    shape: str
    workload: str
    levels: list[int]
    verdict: Status
    headline: str
    source: str
    source_version: str | None
    server: str
    server_version: str | None
    url: str
    seed: int | None
    git_revision: str | None
    resumes: int
    resumed_at: list[datetime]
    skipped_levels: list[int]
    levels_not_reached: list[int]
    spec: JsonObject  # {} where another tool measured
    facts: JsonObject
    versions: dict[str, str]
    machine: JsonObject


class LevelRow(TypedDict):
    """The columns of `level_summary` beside those of metrics, which metric_definitions.column_name names."""

    run_id: str
    started_at: datetime
    model: str
    shape: str
    workload: str
    concurrency: int
    verdict: Status
    planned_requests: int | None
    completed: int
    failed: int
    wall_s: float | None
    timestamps: Literal["kernel", "user"] | None
    token_counts: TokenCounts | None
    token_source: TokenSource | None
    error: str | None


class SloRow(TypedDict):
    """A row of the view `slos`: one SLO at one level."""

    run_id: str
    started_at: datetime
    model: str
    shape: str
    workload: str
    concurrency: int
    verdict: Status
    slo: str
    metric: str
    stat: str
    sign: Literal["<=", ">="]
    bound: float
    evaluated_stat: str
    value: float | None
    low: float | None
    high: float | None
    margin: float | None
    passes: bool | None


class SearchRow(TypedDict):
    """A row of the view `searches`: the result of one capacity search."""

    run_id: str
    started_at: datetime
    model: str
    shape: str
    workload: str
    greatest_concurrency: int | None
    confident_pass: int | None
    confident_fail: int | None
    limited_by: str | None
    unusable: list[int]
    min_level: int
    max_level: int


def read_run(data: Path, run_id: str) -> RunRow:
    """Read a run by its full id; raises RunNotFoundError."""
    runs = _parse_runs(database.query(data, "FROM runs WHERE run_id = ?", [run_id]))
    if not runs:
        raise RunNotFoundError(f"{data / database.FILE_NAME} has no run {run_id}.", "`shapebench runs` lists the runs.")
    return runs[0]


def read_runs(data: Path) -> list[RunRow]:
    """Read all runs, oldest first."""
    return _parse_runs(database.query(data, "FROM runs ORDER BY started_at, run_id"))


def read_endpoint_runs(data: Path, run: RunRow) -> list[RunRow]:
    """Read the runs of the same source, url, model, shape and workload as this one, oldest first."""
    same = " AND ".join(f"{name} IS NOT DISTINCT FROM ?" for name in _ENDPOINT_COLUMNS)
    return _parse_runs(
        database.query(data, f"FROM runs WHERE {same} ORDER BY started_at, run_id", list(endpoint_key(run)))
    )


def endpoint_key(run: RunRow) -> tuple[str, ...]:
    """Return what runs of one endpoint and workload have in common."""
    return run["source"], run["url"], run["model"], run["shape"], run["workload"]


def read_slos(data: Path, run_ids: Sequence[str]) -> list[SloRow]:
    """Read every SLO at every level of these runs."""
    rows: list[SloRow] = database.query(
        data, "FROM slos WHERE run_id IN (SELECT unnest(?))", [list(run_ids)]
    ).to_pylist()
    return rows


def read_searches(data: Path, run_id: str) -> list[SearchRow]:
    """Read the result of a run's capacity search; none where the run was no search."""
    rows: list[SearchRow] = database.query(data, "FROM searches WHERE run_id = ?", [run_id]).to_pylist()
    return rows


def read_levels(data: Path, view: str, run_id: str) -> pd.DataFrame:
    """Read a run's rows in a view that has some for each level, in the order of concurrency."""
    rows: pd.DataFrame = database.query(
        data, f"FROM {view} WHERE run_id = ? ORDER BY concurrency", [run_id]
    ).to_pandas()
    return rows


def read_level_summaries(data: Path, run_ids: Sequence[str]) -> pd.DataFrame:
    """Read `level_summary` of these runs, oldest run first."""
    sql = "FROM level_summary WHERE run_id IN (SELECT unnest(?)) ORDER BY started_at, concurrency"
    rows: pd.DataFrame = database.query(data, sql, [list(run_ids)]).to_pandas()
    return rows


def _parse_runs(rows: pa.Table) -> list[RunRow]:
    runs: list[RunRow] = rows.to_pylist()
    for run in runs:
        for name in _JSON_COLUMNS:
            run[name] = json.loads(str(run[name]))
    return runs
