"""The results file: the only place that opens DuckDB and reads sql/.

Whoever has the file open neither blocks a load nor is blocked: a load works on a copy and puts it in place with an
atomic rename, so that an open file stays what it was, and the next to open it sees the new one.
"""

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import Any

import duckdb
import pyarrow as pa

from shapebench import metrics
from shapebench.errors import ShapebenchError

SQL = Path(__file__).parent.parent / "sql"
FILE_NAME = "results.duckdb"
LOCK_TIMEOUT_S = 60


class WarehouseError(ShapebenchError):
    """The results file cannot be read or written."""


def load(data: Path, run_id: str, tables: dict[str, pa.Table]) -> Path:
    """Put a run's rows in place of what the file has of it in these tables; loading twice changes nothing."""
    path = data / FILE_NAME
    with _writing(path) as connection:
        for name, rows in tables.items():
            connection.execute(f"DELETE FROM raw.{name} WHERE run_id = ?", [run_id])
            if rows.num_rows:
                connection.register("incoming", rows)
                connection.execute(_sql(SQL / "loads" / f"{name}.sql"))
                connection.unregister("incoming")
    return path


def query(data: Path, sql: str, parameters: list[Any] | None = None) -> pa.Table:
    """The answer to a statement that only reads; raises WarehouseError."""
    with _reading(data / FILE_NAME) as connection:
        try:
            answer = connection.sql(sql, params=parameters or [])
            return pa.table({}) if answer is None else answer.to_arrow_table()
        except duckdb.Error as error:
            raise WarehouseError(f"The query failed: {error}", "The views are listed in README.md.") from None


@contextmanager
def _writing(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a copy, in one transaction; the copy takes the file's place if all went well."""
    with _locked(path.with_suffix(".lock")):
        copy = path.with_suffix(f".next-{os.getpid()}")
        try:
            if path.exists():
                shutil.copyfile(path, copy)
            with _connect(copy, path, read_only=False) as connection:
                connection.begin()
                _prepare(connection)
                yield connection
                connection.commit()
            _flush(copy)
            copy.replace(path)
        finally:
            copy.unlink(missing_ok=True)
            copy.with_name(f"{copy.name}.wal").unlink(missing_ok=True)


def _prepare(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE SCHEMA IF NOT EXISTS raw")
    for folder in ("tables", "views"):
        for statement in sorted((SQL / folder).glob("*.sql")):
            connection.execute(_sql(statement))


def _sql(path: Path) -> str:
    columns = ", ".join(f"'{name}'" for name in metrics.COLUMNS)
    return Template(path.read_text(encoding="utf-8")).substitute(metric_columns=columns)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time; the kernel frees the lock of a writer that dies."""
    with path.open("a") as file:
        deadline_s = time.monotonic() + LOCK_TIMEOUT_S
        while not _try_lock(file.fileno()):
            if time.monotonic() > deadline_s:
                raise WarehouseError(
                    f"Another load has held {path} for {LOCK_TIMEOUT_S} s.",
                    "See which process it is (fuser), and run `shapebench publish RUN_ID` or the flow again after it.",
                )
            time.sleep(0.05)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _reading(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    if not path.exists():
        raise WarehouseError(f"There is no {path}.", "`shapebench run` makes it; --data names another folder.")
    try:
        connection = _connect(path, path, read_only=True)
    except duckdb.IOException:  # somebody has it open for writing, which is their right: read a copy
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(shutil.copyfile(path, Path(folder) / FILE_NAME))
            with _connect(copy, path, read_only=True) as connection:
                yield connection
        return
    with connection:
        yield connection


def _connect(file: Path, known_as: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(file, read_only=read_only)
    except duckdb.IOException as error:
        if re.search("lock", str(error)):
            raise
        raise WarehouseError(
            f"{known_as} is not a DuckDB file that this version can read: {error}",
            "Move it aside; the runs' Parquet files under runs/ hold the raw samples still.",
        ) from None


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
