"""The results file: the only place that opens DuckDB; `migrations` reads sql/ for it.

Readers and loads never block each other: a load works on a copy and replaces the file with an atomic rename. Readers
that have the file open see its old content until they open it again.

A process that writes to the file and does not close it leaves a `.wal` next to it. DuckDB would replay it into the
new file of that name, or refuse to open that. So a load sets it aside, with a copy of the file to which it belongs.
Analysts should open the file read-only.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from shapebench.errors import ShapebenchError
from shapebench.results import dictionary, saturation
from shapebench.results import migrations as schema
from shapebench.support.file_lock import file_lock
from shapebench.support.wording import quoted

FILE_NAME = "results.duckdb"
LOCK_TIMEOUT_S = 60
PRUNED = ("requests", "timeline", "server_metrics")

logger = logging.getLogger("shapebench.results")


class WarehouseError(ShapebenchError):
    """The results file cannot be read or written."""


def load(data: Path, run_id: str, tables: dict[str, pa.Table]) -> Path:
    """Replace a run's rows in these tables; loading twice changes nothing."""
    path = data / FILE_NAME
    with _writing(path) as connection:
        for name, rows in tables.items():
            connection.execute(f"DELETE FROM raw.{name} WHERE run_id = ?", [run_id])  # noqa: S608 - names are ours
            if rows.num_rows:
                connection.register("incoming", rows)
                connection.execute(schema.sql(schema.SQL / "loads" / f"{name}.sql"))
                connection.unregister("incoming")
        if "levels" in tables:
            saturation.store(connection, run_id)
    return path


def prune(data: Path, before: datetime) -> int:
    """Delete the requests, timelines and server metrics of runs that began earlier; their summaries stay.

    Returns the number of deleted rows. The runs' Parquet files are kept.
    """
    path = data / FILE_NAME
    _refuse_missing(path)
    old = "run_id IN (SELECT run_id FROM raw.runs WHERE started_at < ?)"
    with _writing(path, compact=True) as connection:
        dropped = [
            connection.execute(f"DELETE FROM raw.{name} WHERE {old}", [before]).fetchall()[0][0]  # noqa: S608 - ours
            for name in PRUNED
        ]
    return sum(dropped)


def set_aside(data: Path) -> Path:
    """Rename a results file that cannot be read, so that the next load creates a new one; raises if it can be read."""
    path = data / FILE_NAME
    _refuse_missing(path)
    with _locked(path.with_suffix(".lock")):
        try:
            _connect(path, "READ_ONLY", known_as=path).close()
        except WarehouseError:
            aside = path.with_stem(f"{path.stem}.set-aside-{_now()}")
            path.rename(aside)
            if _wal(path).exists():
                _wal(path).rename(_wal(aside))
            return aside
    raise WarehouseError(f"{path} can be read.", "There is no need to set it aside.")


def query(data: Path, sql: str, parameters: Sequence[object] | None = None) -> pa.Table:
    """Run a statement that only reads; raises WarehouseError."""
    with _reading(data / FILE_NAME) as connection:
        try:
            answer = connection.sql(sql, params=list(parameters or []))
            return pa.table({}) if answer is None else _check_names(answer.to_arrow_table())
        except duckdb.Error as error:
            views = ", ".join(sorted(view.stem for view in (schema.SQL / "views").glob("*.sql")))
            remedy = f"The views are {views}; `shapebench query 'DESCRIBE level_summary'` lists the columns of one."
            raise WarehouseError(f"The query failed: {error}", remedy) from None


def data_dictionary() -> str:
    """Return the page docs/data-dictionary.md, made from an empty results file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE_NAME
        with _connect(path, "READ_WRITE", known_as=path) as connection:
            schema.prepare(connection, path)
            return dictionary.page(connection, dict(schema.calls()))


def _check_names(rows: pa.Table) -> pa.Table:
    names = rows.column_names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise WarehouseError(f"More than one column is named {', '.join(twice)}.", "Rename them with AS.")
    return rows


@contextmanager
def _writing(path: Path, *, compact: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a copy in one transaction; the copy replaces the file if all went well.

    `compact` frees the space of deleted rows.
    """
    copy = path.with_suffix(".next")
    try:
        with _locked(path.with_suffix(".lock")), _removing(copy):
            if path.exists():
                shutil.copy(path, copy)
            with _connect(copy, "READ_WRITE", known_as=path) as connection:
                connection.begin()
                schema.prepare(connection, path)
                yield connection
                connection.commit()
                connection.execute("CHECKPOINT")  # closing would do it too, but say nothing where it fails
            if compact:
                _compact(copy)
            _flush(copy)
            _set_wal_aside(path)
            copy.replace(path)
    except (duckdb.Error, OSError) as error:
        raise WarehouseError(
            f"The load failed and left {path} as it was: {error}",
            "Check that the disk has space and the folder can be written to. The samples under runs/ are kept.",
        ) from error


def _compact(file: Path) -> None:
    """Copy everything to a new file and replace the old one: DuckDB does not free the space of deleted rows."""
    with _connect(file, "READ_ONLY", known_as=file) as connection:
        connection.execute(f"ATTACH {quoted(_smaller(file))} AS smaller")
        connection.execute("COPY FROM DATABASE results TO smaller")
    shutil.copymode(file, _smaller(file))
    _smaller(file).replace(file)


def _smaller(file: Path) -> Path:
    return file.with_suffix(".smaller")


@contextmanager
def _removing(copy: Path) -> Iterator[None]:
    """Remove the copy at the start, where a killed writer may have left one, and at the end."""

    def remove() -> None:
        for file in (copy, _smaller(copy)):
            file.unlink(missing_ok=True)
            _wal(file).unlink(missing_ok=True)

    remove()
    try:
        yield
    finally:
        remove()


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def _now() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"


def _set_wal_aside(path: Path) -> None:
    """Set aside the unfinished writes of another process, as a file that opens with all of them."""
    if _wal(path).exists():
        aside = path.with_stem(f"{path.stem}.unclosed-{_now()}")
        shutil.copy(path, aside)
        shutil.copy(_wal(path), _wal(aside))  # not moved: its writer may still use it
        _wal(path).unlink()
        logger.warning("Another program wrote to %s and did not close it; its changes are in %s", path, aside)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait until no other process writes; raises WarehouseError after a while."""

    def give_up_in_time(waited_s: float) -> None:
        if waited_s > LOCK_TIMEOUT_S:
            raise WarehouseError(
                f"Another process has locked {path} for {LOCK_TIMEOUT_S} s.",
                "Find the process (fuser); when it has ended, run `shapebench publish RUN_ID` or the flow again.",
            )

    with file_lock(path, give_up_in_time):
        yield


@contextmanager
def _reading(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    _refuse_missing(path)
    with tempfile.TemporaryDirectory() as folder, _connect_migrated(path, Path(folder)) as connection:
        yield connection


def _refuse_missing(path: Path) -> None:
    if not path.exists():
        raise WarehouseError(f"{path} does not exist.", "`shapebench run` creates it; use another folder with --data.")


def _connect_migrated(path: Path, scratch: Path) -> duckdb.DuckDBPyConnection:
    """Open the file, migrated first if it can be written to."""
    connection = _connect_to_read(path, scratch)
    if not schema.applied_migrations(connection) < set(schema.migrations()):
        return connection
    connection.close()
    with suppress(WarehouseError), _writing(path):
        logger.info("%s was written by an earlier version and is migrated", path)
    return _connect_to_read(path, scratch)


def _connect_to_read(path: Path, scratch: Path) -> duckdb.DuckDBPyConnection:
    """Open the file read-only, or a copy if another process has it open for writing or left a WAL."""
    if not _wal(path).exists():
        with suppress(WarehouseError):
            return _connect(path, "READ_ONLY", known_as=path)
    return _connect(Path(shutil.copy(path, scratch / FILE_NAME)), "READ_ONLY", known_as=path)


def _connect(file: Path, mode: str, known_as: Path) -> duckdb.DuckDBPyConnection:
    """Attach the file to a new DuckDB instance: an instance of this process may still show the old file."""
    connection = duckdb.connect()
    try:
        connection.execute(f"ATTACH {quoted(file)} AS results (TYPE duckdb, {mode})")
        connection.execute("USE results")
    except duckdb.Error as error:
        connection.close()
        raise WarehouseError(
            f"{known_as} is not a DuckDB file that this version can read: {error}",
            "Rename it with `shapebench doctor --set-aside`; the raw samples are in runs/.",
        ) from None
    return connection


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
