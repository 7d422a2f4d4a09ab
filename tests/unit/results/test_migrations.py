"""Files of earlier and later versions, and what a file says of itself."""

import json
import lzma
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from shapebench.analysis.measured_level import MeasuredLevel, summarise_level
from shapebench.results import database, dictionary, make_dictionary
from shapebench.results import migrations as schema
from shapebench.results.database import WarehouseError, load, prune, query, set_aside
from shapebench.results.migrations import LaterVersionError
from shapebench.spec import metric_definitions
from tests.level_sample import RUN_ID, closed_loop, level, run_tables
from tests.stored_run import store_run

EARLIER = sorted((Path(__file__).parents[2] / "results_of_earlier_versions").glob("*.duckdb.xz"))


@pytest.fixture(params=EARLIER, ids=lambda path: path.name.partition(".")[0])
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A data folder with a file that an earlier version wrote: one run of two levels."""
    (tmp_path / database.FILE_NAME).write_bytes(lzma.decompress(request.param.read_bytes()))
    return tmp_path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return store_run(tmp_path)


def test_there_are_files_of_earlier_versions() -> None:
    assert len(EARLIER) >= 3


def test_a_file_of_an_earlier_version_can_be_queried_with_todays_views(earlier: Path) -> None:
    rows = query(earlier, "SELECT concurrency, completed, server_ttft_s FROM level_summary").to_pylist()
    assert [(row["concurrency"], row["completed"]) for row in rows] == [(1, 5), (2, 10)]


def test_a_file_of_an_earlier_version_takes_new_runs_beside_its_own(earlier: Path) -> None:
    load(earlier, "new", run_tables(earlier, "new"))
    assert query(earlier, "SELECT run_id FROM runs")["run_id"].to_pylist() == [RUN_ID, "new"]


def test_a_file_of_an_earlier_version_has_had_every_change_after_the_first_load(earlier: Path) -> None:
    load(earlier, "new", run_tables(earlier, "new"))
    assert set(query(earlier, "SELECT number FROM raw.migrations")["number"].to_pylist()) == set(schema.migrations())


def test_an_earlier_versions_requests_are_still_there(earlier: Path) -> None:
    assert query(earlier, "SELECT count(*) AS n FROM requests").to_pylist() == [{"n": 18}]


def test_what_an_earlier_version_did_not_measure_is_null(earlier: Path) -> None:
    rows = query(earlier, "SELECT differs, sample_count FROM metrics WHERE stat = 'total'").to_pylist()
    assert rows[0] == {"differs": None, "sample_count": None}


def test_what_an_earlier_version_measured_was_measured_by_shapebench(earlier: Path) -> None:
    assert query(earlier, "SELECT source FROM runs")["source"].to_pylist() == ["shapebench"]


def of_a_later_version(data: Path) -> None:
    with duckdb.connect(data / database.FILE_NAME) as connection:
        connection.execute("INSERT INTO raw.migrations VALUES (999, '999_from_the_future', now()::TIMESTAMP)")


def test_a_file_of_a_later_version_is_refused_with_what_to_do(data: Path) -> None:
    of_a_later_version(data)
    before = (data / database.FILE_NAME).read_bytes()
    with pytest.raises(LaterVersionError, match="was written by a later version of shapebench") as caught:
        load(data, "new", run_tables(data, "new"))
    assert "Use that version" in caught.value.remedy
    assert (data / database.FILE_NAME).read_bytes() == before


def test_a_file_of_a_later_version_can_be_read(data: Path) -> None:
    of_a_later_version(data)
    assert query(data, "SELECT run_id FROM runs")["run_id"].to_pylist() == [RUN_ID]


def test_a_change_that_fails_leaves_the_file_as_it_was(earlier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (earlier / database.FILE_NAME).read_bytes()
    broken = earlier / "999_broken.sql"
    broken.write_text("ALTER TABLE raw.nothing ADD COLUMN x INTEGER")
    monkeypatch.setattr(schema, "migrations", lambda: {**BEFORE, 999: broken})
    with pytest.raises(WarehouseError, match="The load failed"):
        load(earlier, "new", run_tables(earlier, "new"))
    assert (earlier / database.FILE_NAME).read_bytes() == before


BEFORE = schema.migrations()


def test_changes_are_numbered_without_a_gap() -> None:
    assert sorted(schema.migrations()) == list(range(1, len(schema.migrations()) + 1))


def test_columns_that_were_renamed_show_the_data_of_before(data: Path) -> None:
    with duckdb.connect(data / database.FILE_NAME) as connection:
        connection.execute("ALTER TABLE raw.runs RENAME COLUMN skipped_levels TO left_out")
        connection.execute("ALTER TABLE raw.runs RENAME COLUMN levels_not_reached TO skipped")
        connection.execute("ALTER TABLE raw.slos RENAME COLUMN evaluated_stat TO judged_stat")
        for new, old in (
            ("min_level", "least"),
            ("max_level", "most"),
            ("confident_pass", "surely_keeps"),
            ("confident_fail", "surely_fails"),
        ):
            connection.execute(f"ALTER TABLE raw.searches RENAME COLUMN {new} TO {old}")
        connection.execute("INSERT INTO raw.searches VALUES (?, 1, 64, 8, 6, 12, NULL, [])", [RUN_ID])
        connection.execute("UPDATE raw.runs SET left_out = [8]")
        connection.execute("DELETE FROM raw.migrations WHERE number = 17")
    (run,) = query(data, "SELECT skipped_levels, levels_not_reached FROM runs").to_pylist()
    assert run == {"skipped_levels": [8], "levels_not_reached": []}
    (search,) = query(data, "SELECT min_level, max_level, confident_pass, confident_fail FROM searches").to_pylist()
    assert search == {"min_level": 1, "max_level": 64, "confident_pass": 6, "confident_fail": 12}
    assert query(data, "SELECT DISTINCT evaluated_stat FROM slos").num_rows > 0


# What a file says of itself


@pytest.mark.parametrize("listing", ["duckdb_tables()", "duckdb_views()"])
def test_every_table_and_view_says_what_it_is(listing: str, data: Path) -> None:
    ours = query(data, f"FROM {listing}").to_pandas().query("not internal")
    assert ours["comment"].notna().all()


def test_every_column_says_what_it_is(data: Path) -> None:
    sql = "SELECT table_name || '.' || column_name AS c FROM duckdb_columns() WHERE NOT internal AND comment IS NULL"
    assert query(data, sql)["c"].to_pylist() == []


def test_the_dictionary_has_no_words_for_what_there_is_not(data: Path) -> None:
    columns = {name for *_, name in (row[:3] for row in _columns(data))}
    content = schema.words()
    assert {name.rpartition(".")[2] for name in content["columns"]} <= columns


def _columns(data: Path) -> list[tuple[str, ...]]:
    with duckdb.connect(data / database.FILE_NAME, read_only=True) as connection:
        return connection.execute(dictionary.COLUMNS).fetchall()


def test_the_page_of_the_dictionary_is_written_anew_by_make_docs() -> None:
    assert make_dictionary.PAGE.read_text(encoding="utf-8") == database.data_dictionary()


def test_a_metrics_direction_in_the_macros_is_that_of_its_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    macros = schema.SQL / "macros"
    assert "IN ('query_tokens_per_s', 'system_tokens_per_s'" in schema.sql(macros / "regressions.sql")
    turned = {**metric_definitions.BETTER, "ttft_s": metric_definitions.HIGHER}
    monkeypatch.setattr(metric_definitions, "BETTER", turned)
    assert "IN ('ttft_s', 'query_tokens_per_s'" in schema.sql(macros / "compare_runs.sql")
    assert "ttft_s >= ttft_s_limit" in schema.sql(macros / "slo_attainment.sql")


# Growth, and files that are of no use


def test_pruning_drops_the_requests_of_old_runs_and_keeps_their_summaries(data: Path) -> None:
    load(data, "young", run_tables(data, "young"))
    summaries = query(data, "FROM level_summary").to_pylist()
    assert prune(data, datetime(2030, 1, 1, tzinfo=UTC)) > 0
    assert query(data, "FROM requests").num_rows == 0
    assert query(data, "FROM level_summary").to_pylist() == summaries


def test_pruning_leaves_runs_that_are_young_enough(data: Path) -> None:
    before = query(data, "FROM requests").to_pylist()
    assert prune(data, datetime(2020, 1, 1, tzinfo=UTC)) == 0
    assert query(data, "FROM requests").to_pylist() == before


@pytest.mark.nightly
def test_pruning_gives_the_room_back(data: Path) -> None:
    for number in range(5):
        load(data, f"run-{number}", run_tables(data, f"run-{number}", levels=[many(data, f"run-{number}")]))
    before = (data / database.FILE_NAME).stat().st_size
    prune(data, datetime(2030, 1, 1, tzinfo=UTC))
    assert (data / database.FILE_NAME).stat().st_size < 0.8 * before


def many(data: Path, run_id: str) -> MeasuredLevel:
    return summarise_level(level(data, 64, closed_loop(64, requests_each=100), run_id=run_id))


def test_pruning_leaves_what_others_made_in_the_file_and_what_it_says_of_itself(data: Path) -> None:
    with duckdb.connect(data / database.FILE_NAME) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 42 AS answer")
    prune(data, datetime(2030, 1, 1, tzinfo=UTC))
    assert query(data, "FROM mine").to_pylist() == [{"answer": 42}]
    assert query(data, "FROM cost(2.0)").num_rows == 2
    sql = "SELECT comment FROM duckdb_columns() WHERE table_name = 'runs' AND column_name = 'shape'"
    assert set(query(data, sql)["comment"].to_pylist()) == {"The machine that serves."}


def test_a_file_that_cannot_be_read_is_set_aside_whole(tmp_path: Path) -> None:
    (tmp_path / database.FILE_NAME).write_text("These are not the results that you are looking for.")
    aside = set_aside(tmp_path)
    assert aside.read_text().startswith("These are not")
    load(tmp_path, RUN_ID, run_tables(tmp_path))
    assert query(tmp_path, "FROM runs").num_rows == 1


def test_a_file_that_can_be_read_is_not_set_aside(data: Path) -> None:
    with pytest.raises(WarehouseError, match="can be read"):
        set_aside(data)
    assert query(data, "FROM runs").num_rows == 1


def test_what_an_earlier_version_stored_of_a_search_has_todays_names(tmp_path: Path) -> None:
    [file] = [file for file in EARLIER if file.name.startswith("4-")]
    (tmp_path / database.FILE_NAME).write_bytes(lzma.decompress(file.read_bytes()))
    [row] = query(tmp_path, "SELECT spec->>'search' AS search, skipped_levels FROM runs").to_pylist()
    assert (json.loads(row["search"]), row["skipped_levels"]) == ({"min_level": 1, "max_level": 64}, [4])
    [found] = query(tmp_path, "SELECT min_level, max_level FROM searches").to_pylist()
    assert found == {"min_level": 1, "max_level": 64}
