"""The commands that a page shows give the numbers that it shows."""

import shlex
from pathlib import Path

import pytest

from shapebench.report.pages.columns import COLUMNS
from shapebench.report.pages.queries import queries
from shapebench.results import database
from tests.level_sample import RUN_ID, run_tables

WHAT = [*queries(RUN_ID, 2)]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored") / "data"
    database.load(folder, RUN_ID, run_tables(folder))
    return folder


@pytest.fixture
def data(stored: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder where a person types the commands."""
    monkeypatch.chdir(stored.parent)
    return stored


def typed(command: str) -> str:
    program, subcommand, sql = shlex.split(command)
    assert (program, subcommand) == ("shapebench", "query")
    return sql


@pytest.mark.parametrize("what", WHAT)
def test_each_can_be_typed_as_it_is(data: Path, what: str) -> None:
    database.query(data, typed(queries(RUN_ID, 2)[what]))


def test_the_table_of_levels_has_its_columns_in_order(data: Path) -> None:
    found = database.query(data, typed(queries(RUN_ID, 2)["Results by level"]))
    assert found.column_names == [*(column.source for column in COLUMNS), "verdict"]
    assert found["concurrency"].to_pylist() == [1, 2]


def test_each_token_comes_out_of_the_parquet_file(data: Path) -> None:
    assert database.query(data, typed(queries(RUN_ID, 2)["Token times, from the Parquet file"])).num_rows > 0


@pytest.mark.parametrize("run_id", ["a'b", 'a"b', "$(touch there)", "`x`", "a\\b"])
def test_a_strange_run_id_stays_text(data: Path, run_id: str) -> None:
    sql = typed(queries(run_id, 1)["Scaling"])
    assert database.query(data, sql).num_rows == 0
    doubled = run_id.replace("'", "''")
    assert f"'{doubled}'" in sql
