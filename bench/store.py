"""Growth of the results file: load time, file size and time of each view, with 1, 100 and 1,000 runs.

    python -m bench.store [RUNS …]

Each run has six levels, 3,000 requests in all, a server's series of 300 s, and every metric and finding of a real run.
A file of many runs is made by loading one and multiplying it in SQL; then one more is loaded as in the flow.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from expectations.validate import validate
from shapebench.analysis.conclusion import Conclusion
from shapebench.analysis.measured_level import MeasuredLevel, summarise_level
from shapebench.results import database
from shapebench.results import migrations as schema
from shapebench.results.rows import Tables, tables
from tests.level_sample import FACTS, closed_loop, counted, level, run, server_says

LEVELS, REQUESTS, SECONDS = (1, 2, 4, 8, 16, 32), 500, 50
REPETITIONS = 3
FIRST = "20260101T000000-000000"
CALLS = {  # macros, called as by an analyst
    "latency_distribution": "FROM latency_distribution('{run}', 32)",
    "compare_runs": "FROM compare_runs('{run}', '{other}')",
    "regressions": "FROM regressions('{run}')",
    "slo_attainment": "FROM slo_attainment()",
    "cost": "FROM cost(2.0)",
}


def main() -> None:
    """Print two tables."""
    counts = [int(count) for count in sys.argv[1:]] or [1, 100, 1000]
    growth = Table("runs in the file", "file (MB)", "one more run (s)", "pruned (s)", "and then (MB)", box=None)
    views: dict[str, float] = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as scratch:
            row, views = of_a_file(Path(scratch), count)
            growth.add_row(f"{count:,}", *row)
    Console().print(growth)
    shown = Table(f"with {counts[-1]:,} runs", "s", box=None)
    for name, seconds in sorted(views.items(), key=lambda item: -item[1]):
        shown.add_row(name, f"{seconds:.2f}")
    Console().print(shown)


def of_a_file(data: Path, count: int) -> tuple[list[str], dict[str, float]]:
    """Size, load, prune and size again, and the time (s) of each view, of a file with so many runs."""
    one = of_one_run(data)
    fill(data, one, count)
    file = data / database.FILE_NAME
    size_mb = file.stat().st_size / 1e6
    load_s = median_s(lambda: database.load(data, "next", renamed(one, "next")))
    views = {name: median_s(partial(database.query, data, sql)) for name, sql in statements(data).items()}
    prune_s = took_s(lambda: database.prune(data, datetime(2100, 1, 1, tzinfo=UTC)))
    return [f"{size_mb:,.0f}", f"{load_s:.2f}", f"{prune_s:.2f}", f"{file.stat().st_size / 1e6:,.0f}"], views


def of_one_run(data: Path) -> Tables:
    """All rows of a run, by the pipeline's own way."""
    levels = [one_level(data, streams) for streams in LEVELS]
    return tables(run(data, FIRST), FACTS, levels, validate(levels), Conclusion("Suits at least 32 users", ()))


def one_level(data: Path, streams: int) -> MeasuredLevel:
    samples = closed_loop(streams, requests_each=-(-REQUESTS // streams))
    end = counted(samples)
    moments = [{key: value * second / SECONDS for key, value in end.items()} for second in range(SECONDS + 1)]
    said = server_says(data / f"{streams}.parquet", *moments)
    return summarise_level(level(data, streams, samples, run_id=FIRST, server_metrics=said))


def renamed(one: Tables, run_id: str) -> dict[str, pa.Table]:
    """The same rows as another run."""
    return {name: rows.drop("run_id").append_column("run_id", named(run_id, rows)) for name, rows in one.items()}


def named(run_id: str, rows: pa.Table) -> pa.Array:
    return pa.repeat(pa.scalar(run_id), len(rows))


OF_COPY = {
    "run_id": "printf('20260101T%06d-000000', n) AS run_id",
    "started_at": "started_at + to_days(n) AS started_at",
}


def fill(data: Path, one: Tables, count: int) -> None:
    """Put so many runs into the file, all but the first by SQL, a day apart."""
    database.load(data, FIRST, one)
    with duckdb.connect(data / database.FILE_NAME) as connection:
        for name in one:
            columns = [row[0] for row in connection.execute(f"DESCRIBE raw.{name}").fetchall()]
            chosen = ", ".join(OF_COPY.get(column, column) for column in columns)
            rows = f"SELECT {chosen} FROM raw.{name}, range(1, {count}) AS copies(n) WHERE run_id = '{FIRST}'"
            connection.execute(f"INSERT INTO raw.{name} {rows}")


def statements(data: Path) -> dict[str, str]:
    """Return a query for each view and macro: all its rows and columns, which are counted."""
    views = {file.stem: f"FROM {file.stem}" for file in sorted((schema.SQL / "views").glob("*.sql"))}
    runs = database.query(data, "SELECT run_id FROM runs ORDER BY started_at DESC LIMIT 2")["run_id"].to_pylist()
    macros = {name: sql.format(run=runs[0], other=runs[-1]) for name, sql in CALLS.items()}
    return {name: f"SELECT count(t) FROM ({sql}) AS t" for name, sql in (views | macros).items()}


def median_s(act: Callable[[], object]) -> float:
    return statistics.median(took_s(act) for _ in range(REPETITIONS))


def took_s(act: Callable[[], object]) -> float:
    begun_s = time.perf_counter()
    act()
    return time.perf_counter() - begun_s


if __name__ == "__main__":
    main()
