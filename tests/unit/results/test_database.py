"""The results file: never blocked, never corrupt, and what analysts were promised."""

import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from shapebench.analysis.measured_level import summarise_level
from shapebench.results import database
from shapebench.results.database import WarehouseError, load, query
from shapebench.spec import metric_definitions
from tests.examples import nightly_but
from tests.level_sample import RUN_ID, clean, level, run_tables
from tests.stored_run import store_run

ROOT = Path(__file__).parents[3]
TABLES = ("runs", "levels", "metrics", "findings", "requests", "artifacts")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with one run in its results file."""
    return store_run(tmp_path)


def file(data: Path) -> Path:
    return data / "results.duckdb"


def content(data: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""
    return {name: query(data, f"FROM raw.{name} ORDER BY ALL").to_pylist() for name in TABLES}


def run_ids(data: Path) -> list[str]:
    return query(data, "SELECT run_id FROM runs ORDER BY run_id")["run_id"].to_pylist()


def plainly(data: Path, sql: str) -> list[tuple[Any, ...]]:
    """The answer as an analyst gets it, in a process that opens the file without more ado."""
    script = "import duckdb, sys; print(duckdb.connect(sys.argv[1], read_only=True).execute(sys.argv[2]).fetchall())"
    shown = subprocess.run([sys.executable, "-c", script, file(data), sql], capture_output=True, text=True, check=True)
    answer: list[tuple[Any, ...]] = eval(shown.stdout)  # noqa: S307 - what the line above printed
    return answer


def left_in(data: Path) -> set[str]:
    return {path.name for path in data.iterdir()} - {"runs"}


def test_the_tables_hold_what_was_loaded(data: Path) -> None:
    tables = run_tables(data)
    for name, rows in content(data).items():
        assert len(rows) == (tables[name].num_rows if name in tables else 0)
    assert len(content(data)["requests"]) == 18  # 1 and 2 streams, a warm-up request and 5 measured ones each


def test_loading_the_same_run_twice_changes_nothing(tmp_path: Path) -> None:
    load(tmp_path, RUN_ID, run_tables(tmp_path))
    before = content(tmp_path)
    load(tmp_path, RUN_ID, run_tables(tmp_path))
    assert content(tmp_path) == before


def test_loading_a_run_again_puts_its_new_rows_in_place_of_the_old(data: Path) -> None:
    load(data, RUN_ID, run_tables(data, levels=[clean(data, 4)]))
    assert query(data, "SELECT DISTINCT concurrency FROM raw.levels").to_pylist() == [{"concurrency": 4}]


def test_tables_that_are_not_given_stay_as_they_are(data: Path) -> None:
    before = content(data)
    load(data, RUN_ID, {"findings": pa.Table.from_pylist([])})
    assert content(data) == before


def test_two_runs_stand_side_by_side(data: Path) -> None:
    before = content(data)
    load(data, "other", run_tables(data, "other"))
    assert run_ids(data) == [RUN_ID, "other"]
    for name, rows in content(data).items():
        assert [row for row in rows if row["run_id"] == RUN_ID] == before[name]


def test_a_load_leaves_only_the_file_and_its_lock(data: Path) -> None:
    assert left_in(data) == {"results.duckdb", "results.lock"}


def test_the_files_mode_survives_a_load(data: Path) -> None:
    file(data).chmod(0o660)
    load(data, "other", run_tables(data, "other"))
    assert file(data).stat().st_mode & 0o777 == 0o660


def test_a_level_without_samples_has_a_row_in_the_summary(data: Path) -> None:
    levels = [clean(data, 1), summarise_level(level(data, 2, None))]
    load(data, RUN_ID, run_tables(data, levels=levels))
    summary = query(data, "SELECT concurrency, ttft_s_mean, system_tokens_per_s, error FROM level_summary").to_pylist()
    assert summary[0]["ttft_s_mean"] == pytest.approx(0.1)
    assert summary[1] == {
        "concurrency": 2,
        "ttft_s_mean": None,
        "system_tokens_per_s": None,
        "error": "The measuring process ended (1): it said nothing",
    }


def test_the_summarys_columns_are_the_promised_ones(data: Path) -> None:
    assert query(data, "FROM level_summary").column_names == [
        *("run_id", "started_at", "model", "shape", "workload", "concurrency", "verdict"),
        *("planned_requests", "completed", "failed"),
        *metric_definitions.COLUMNS,
        *("wall_s", "timestamps", "token_counts", "token_source", "error"),
    ]


def test_every_column_of_the_summary_has_its_value(data: Path) -> None:
    (row,) = query(data, "FROM level_summary WHERE concurrency = 2").to_pylist()
    expected = {metric_definitions.column_name(r.metric, r.stat): r.value for r in clean(data, 2).metrics}
    assert {name: row[name] for name in metric_definitions.COLUMNS if row[name] is not None} == pytest.approx(expected)


def test_the_views_are_in_order_without_being_asked(data: Path) -> None:
    load(data, "0-earlier-by-name", run_tables(data, "0-earlier-by-name"))
    rows = query(data, "SELECT run_id, concurrency FROM level_summary").to_pylist()
    assert [(row["run_id"], row["concurrency"]) for row in rows] == [
        ("0-earlier-by-name", 1),
        ("0-earlier-by-name", 2),
        (RUN_ID, 1),
        (RUN_ID, 2),
    ]


def test_a_run_tells_its_levels_and_how_long_it_took(data: Path) -> None:
    (row,) = query(data, "SELECT levels, duration_s, verdict FROM runs").to_pylist()
    assert row == {"levels": [1, 2], "duration_s": 26.5, "verdict": "valid"}


def test_metrics_are_tidy_and_carry_the_levels_verdict(data: Path) -> None:
    rows = query(data, "FROM metrics WHERE metric = 'ttft_s' AND stat = 'mean' ORDER BY concurrency").to_pylist()
    columns = ["run_id", "concurrency", "verdict", "metric", "stat", "value", "sample_count", "differs"]
    assert [list(row) for row in rows] == [columns] * 2
    assert [row["value"] for row in rows] == pytest.approx([0.1, 0.1])
    assert [row["sample_count"] for row in rows] == [5, 10]


def test_a_percentile_that_is_withheld_is_null(data: Path) -> None:
    row = query(data, "SELECT ttft_s_p50, ttft_s_p95 FROM level_summary WHERE concurrency = 2").to_pylist()[0]
    assert (row["ttft_s_p50"] is None, row["ttft_s_p95"] is None) == (False, True)


def test_the_servers_account_is_a_series(data: Path) -> None:
    rows = query(data, "FROM server_metrics WHERE concurrency = 2 AND metric = 'generation_tokens' ORDER BY at_s")
    assert rows["value"].to_pylist() == [0, 120]  # of ten requests and two for warm-up


def test_the_servers_timeline_has_a_row_for_each_moment_and_rates_since_the_one_before(data: Path) -> None:
    rows = query(data, "FROM server_timeline WHERE concurrency = 2").to_pylist()
    assert [row["generation_tokens_per_s"] for row in rows] == [None, 120]
    assert [row["running_requests"] for row in rows] == [0, 0]


def test_requests_that_the_server_ended_are_counted_by_reason(data: Path) -> None:
    rows = query(data, "SELECT finished_reason, requests FROM server_requests WHERE concurrency = 2").to_pylist()
    assert rows == [{"finished_reason": "length", "requests": 12}]


def test_requests_tell_what_happened_to_each(data: Path) -> None:
    row = query(data, "FROM requests WHERE concurrency = 1 AND request_index = 1").to_pylist()[0]
    assert (row["ttft_s"], row["e2e_s"], row["chunks"]) == pytest.approx((0.1, 1.0, 10))
    assert str(row["sent_at"]) == "2026-07-14 09:30:01"


def test_parameters_take_the_place_of_question_marks(data: Path) -> None:
    assert query(data, "SELECT run_id FROM runs WHERE run_id = ?", ["it's"]).num_rows == 0


def test_a_folder_with_a_quote_in_its_name_is_a_folder_like_any_other(tmp_path: Path) -> None:
    data = tmp_path / "it's"
    load(data, RUN_ID, run_tables(data))
    assert run_ids(data) == [RUN_ID]


def test_a_file_that_is_missing_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match=r"results\.duckdb does not exist") as caught:
        query(tmp_path, "FROM runs")
    assert "`shapebench run`" in caught.value.remedy


def test_a_query_that_is_wrong_is_told_the_views(data: Path) -> None:
    with pytest.raises(WarehouseError, match=r"The query failed: .*nope") as caught:
        query(data, "FROM nope")
    assert (
        "artifacts, client_health, endpoint_history, findings, level_summary, metrics, requests, runs"
        in caught.value.remedy
    )


@pytest.mark.parametrize("sql", ["DELETE FROM raw.runs", "CREATE TABLE mine (i INTEGER)", "DROP VIEW runs"])
def test_a_query_cannot_change_the_file(sql: str, data: Path) -> None:
    before = file(data).read_bytes()
    with pytest.raises(WarehouseError, match="read-only"):
        query(data, sql)
    assert file(data).read_bytes() == before


# What fails half-way


def bad_tables(data: Path) -> dict[str, pa.Table]:
    """All is well but for the last row of the last table."""
    tables = run_tables(data, "bad")
    level_of_nobody = {**tables["levels"].to_pylist()[0], "concurrency": 0}
    levels = pa.Table.from_pylist([*tables["levels"].to_pylist(), level_of_nobody])
    return {name: levels if name == "levels" else rows for name, rows in tables.items()}


def test_a_load_that_fails_half_way_leaves_the_old_file(data: Path) -> None:
    before = file(data).read_bytes()
    with pytest.raises(WarehouseError, match=r"left .*as it was: .*CHECK"):
        load(data, "bad", bad_tables(data))
    assert file(data).read_bytes() == before
    assert left_in(data) == {"results.duckdb", "results.lock"}


def test_a_first_load_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError):
        load(tmp_path, "bad", bad_tables(tmp_path))
    assert not file(tmp_path).exists()


def test_a_disk_that_is_full_leaves_the_old_file(data: Path) -> None:
    before = file(data).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 4096, hard))  # no room for more than there is
    try:
        with pytest.raises(WarehouseError, match="The load failed and left"):
            load(data, "other", run_tables(data, "other"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert file(data).read_bytes() == before


def text(path: Path) -> None:
    path.write_text("These are not the results that you are looking for.\n" * 200, encoding="utf-8")


def sqlite(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (i INTEGER)")
    connection.close()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    load(path.parent, RUN_ID, run_tables(path.parent))
    path.write_bytes(path.read_bytes()[:20_000])


@pytest.mark.parametrize("make", [text, sqlite, empty, truncated])
def test_a_file_that_is_not_ours_is_refused_and_not_overwritten(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(file(tmp_path))
    before = file(tmp_path).read_bytes()
    for use in (lambda: load(tmp_path, "x", run_tables(tmp_path, "x")), lambda: query(tmp_path, "FROM runs")):
        with pytest.raises(WarehouseError, match="is not a DuckDB file that this version can read") as caught:
            use()
        assert caught.value.remedy.startswith("Rename it with `shapebench doctor --set-aside`")
    assert file(tmp_path).read_bytes() == before


# Other processes

LOAD = """
import sys
from pathlib import Path
from shapebench.results.database import load
from tests.level_sample import run_tables
data = Path(sys.argv[1])
for run_id in sys.argv[2:]:
    load(data, run_id, run_tables(data, run_id))
    print(run_id, flush=True)
"""


def loading(data: Path, *run_ids: str, first: str = "") -> "subprocess.Popen[str]":
    """A process that loads runs and prints the name of each that is in; `first` is what it does before."""
    command = [sys.executable, "-c", first + LOAD, str(data), *run_ids]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


OPEN = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "read-only")
print("open", flush=True)
for sql in sys.stdin:
    print(connection.execute(sql).fetchall(), flush=True)
"""


class Analyst:
    """Somebody who has the file open in a process of their own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def ask(self, sql: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{sql}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def crash(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def analyst(data: Path, mode: str) -> Iterator[Analyst]:
    command = [sys.executable, "-c", OPEN, str(file(data)), mode]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "open\n"
        yield Analyst(process)
        assert process.stdin
        process.stdin.close()


@pytest.mark.parametrize("mode", nightly_but(["read-only", "read-write"], "read-only"))
def test_whoever_has_the_file_open_neither_blocks_nor_is_blocked(mode: str, data: Path) -> None:
    count = "SELECT count(*) FROM runs"
    with analyst(data, mode) as reader:
        for number in range(3):
            load(data, f"more-{number}", run_tables(data, f"more-{number}"))
            assert reader.ask(count) == "[(1,)]"  # the file as it was when they opened it
            assert len(run_ids(data)) == 2 + number
    assert plainly(data, count) == [(4,)]


def test_somebody_who_has_it_open_in_this_very_process_does_not_hide_what_is_new(data: Path) -> None:
    with duckdb.connect(file(data), read_only=True):
        load(data, "other", run_tables(data, "other"))
        assert run_ids(data) == [RUN_ID, "other"]


def test_reading_goes_on_while_somebody_writes_in_this_very_process(data: Path) -> None:
    with duckdb.connect(file(data)) as mine:
        mine.execute("CREATE TABLE mine (i INTEGER)")
        assert run_ids(data) == [RUN_ID]


@pytest.mark.nightly
def test_four_processes_that_load_at_once_lose_nothing(data: Path) -> None:
    names = [f"run-{number}" for number in range(4)]
    processes = [loading(data, f"{name}a", f"{name}b") for name in names]
    for process in processes:
        process.communicate(timeout=120)
    assert [process.returncode for process in processes] == [0] * 4
    assert run_ids(data) == [RUN_ID, *(f"{name}{half}" for name in names for half in "ab")]
    assert len(content(data)["requests"]) == 9 * 18


def test_a_load_that_waits_too_long_for_another_says_so(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_TIMEOUT_S", 0.1)
    with database._locked(data / "results.lock"), pytest.raises(WarehouseError, match="Another process has locked"):
        load(data, "other", run_tables(data, "other"))


DIE = """
import os, signal
from shapebench.results import database
sql = database.schema.sql
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
def die_at_metrics(path): return die() if path.parts[-2:] == ("loads", "metrics.sql") else sql(path)
"""
STAGES = {
    "before the copy": "database.shutil.copy = die",
    "before the copy is opened": "database._connect = die",
    "before its tables are there": "database.schema.prepare = die",
    "between two tables": "database.schema.sql = die_at_metrics",
    "before it is on the disk": "database._flush = die",
    "before it takes the old one's place": "database._set_wal_aside = die",
}


@pytest.mark.parametrize("stage", nightly_but(STAGES, "between two tables", "before it is on the disk"))
def test_a_load_that_is_killed_leaves_the_old_file_and_the_next_one_tidies_up(stage: str, data: Path) -> None:
    before = file(data).read_bytes()
    killed = loading(data, "killed", first=f"{DIE}{STAGES[stage]}")
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert file(data).read_bytes() == before
    load(data, "next", run_tables(data, "next"))
    assert run_ids(data) == [RUN_ID, "next"]
    assert left_in(data) == {"results.duckdb", "results.lock"}


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", nightly_but([0.0, 0.01, 0.03, 0.07, 0.15], 0.03))
def test_kill_9_at_any_moment_leaves_whole_runs_only(delay_s: float, data: Path) -> None:
    process = loading(data, *(f"run-{number}" for number in range(1000)))
    assert process.stdout
    process.stdout.readline()
    time.sleep(delay_s)
    process.kill()
    said = {"run-0", *process.communicate()[0].split()}
    requests = dict(plainly(data, "SELECT run_id, count(*) FROM requests GROUP BY ALL"))
    assert set(requests.values()) == {18}
    assert said <= set(requests)  # whatever was said to be in
    assert plainly(data, "SELECT count(*) FROM level_summary") == [(2 * len(requests),)]


# A write-ahead log that somebody left beside the file


def crashed(data: Path) -> None:
    """Somebody wrote a table of their own, and had no chance to close the file."""
    with analyst(data, "read-write") as writer:
        writer.ask("CREATE TABLE mine AS SELECT 42 AS answer")
        writer.crash()
    assert (data / "results.duckdb.wal").exists()


def test_a_wal_that_was_left_keeps_nobody_from_reading(data: Path) -> None:
    crashed(data)
    assert run_ids(data) == [RUN_ID]


def test_a_load_does_not_leave_an_old_wal_beside_the_new_file(data: Path) -> None:
    crashed(data)
    load(data, "other", run_tables(data, "other"))
    assert not (data / "results.duckdb.wal").exists()
    assert plainly(data, "SELECT run_id FROM runs ORDER BY run_id") == [(RUN_ID,), ("other",)]


def test_what_was_written_and_not_closed_is_kept_in_a_file_of_its_own(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crashed(data)
    load(data, "other", run_tables(data, "other"))
    (aside,) = data.glob("results.unclosed-*.duckdb")
    assert aside.name in caplog.text
    with duckdb.connect(aside) as theirs:
        assert theirs.execute("SELECT answer FROM mine").fetchall() == [(42,)]


@pytest.mark.nightly
def test_somebody_who_goes_on_writing_to_a_file_that_was_replaced_spoils_nothing(data: Path) -> None:
    with analyst(data, "read-write") as writer:
        writer.ask("CREATE TABLE mine (i INTEGER)")
        load(data, "second", run_tables(data, "second"))
        writer.ask("CHECKPOINT")  # their WAL is now of the same iteration as the new file's would be
        writer.ask("INSERT INTO mine VALUES (1)")
        writer.ask("DELETE FROM raw.runs")
        assert (data / "results.duckdb.wal").exists()
        assert run_ids(data) == [RUN_ID, "second"]
        load(data, "third", run_tables(data, "third"))
        assert plainly(data, "SELECT count(*) FROM runs") == [(3,)]
    assert plainly(data, "SELECT count(*) FROM runs") == [(3,)]
    assert plainly(data, "SELECT count(*) FROM requests") == [(3 * 18,)]


@pytest.mark.nightly
def test_a_wal_of_quite_another_database_spoils_nothing(data: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    load(other, "other", run_tables(other, "other"))
    crashed(other)
    shutil.copy(other / "results.duckdb.wal", data)
    assert run_ids(data) == [RUN_ID]
    load(data, "next", run_tables(data, "next"))
    assert plainly(data, "SELECT count(*) FROM runs") == [(2,)]
