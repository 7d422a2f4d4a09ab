"""Tokens and the gaps before them, out of a real file of samples."""

from pathlib import Path
from typing import Any

import pytest

from shapebench.results.database import WarehouseError, load, query
from shapebench.runs.samples_file import Sample
from tests.level_sample import RUN_ID, clean, level, refused, request, run_tables


@pytest.fixture
def data(tmp_path: Path) -> Path:
    load(tmp_path, "nothing", {})
    return tmp_path


def gaps(data: Path, *samples: Sample, concurrency: int = 2) -> list[dict[str, Any]]:
    level(data, concurrency, list(samples))
    call = f"token_gaps('{RUN_ID}', {concurrency}, data := '{data}')"
    rows: list[dict[str, Any]] = query(data, f"FROM {call}").to_pylist()
    return rows


def column(rows: list[dict[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]


def test_its_columns_are_these(data: Path) -> None:
    (row,) = gaps(data, request(0, 0.0, [0.1]))
    assert list(row) == [
        *("request_index", "stream", "warmup", "failed", "chunk", "token"),
        *("at_s", "since_sent_s", "gap_s", "tokens"),
    ]


def test_each_token_after_the_first_has_the_gap_before_it(data: Path) -> None:
    rows = gaps(data, request(0, 0.0, [0.2, 0.3, 0.7]))
    assert column(rows, "gap_s") == [None, pytest.approx(0.1), pytest.approx(0.4)]
    assert column(rows, "since_sent_s") == [0.2, 0.3, 0.7]


def test_a_chunk_of_k_tokens_is_k_rows_with_a_kth_of_its_gap(data: Path) -> None:
    rows = gaps(data, request(0, 0.0, [0.2, 0.5, 0.6], chunk_tokens=[1, 3, 1]))
    assert column(rows, "gap_s") == [None, *[pytest.approx(0.1)] * 4]
    assert column(rows, "tokens") == [1, 3, 3, 3, 1]
    assert column(rows, "chunk") == [1, 2, 2, 2, 3]
    assert column(rows, "token") == [1, 2, 3, 4, 5]


def test_no_token_of_the_first_chunk_has_a_gap(data: Path) -> None:
    rows = gaps(data, request(0, 0.0, [0.2, 0.3], chunk_tokens=[2, 1]))
    assert column(rows, "gap_s") == [None, None, pytest.approx(0.1)]


def test_times_count_from_the_levels_first_request(data: Path) -> None:
    rows = gaps(data, request(0, 5.0, [0.2]), request(1, 6.0, [0.2]))
    assert column(rows, "at_s") == pytest.approx([0.2, 1.2])


def test_a_gap_does_not_reach_from_one_request_to_the_next(data: Path) -> None:
    rows = gaps(data, request(0, 0.0, [0.1, 0.2]), request(1, 1.0, [0.1, 0.4]))
    assert column(rows, "gap_s") == [None, pytest.approx(0.1), None, pytest.approx(0.3)]


def test_tokens_of_warm_up_and_of_failed_requests_are_marked(data: Path) -> None:
    broken = request(2, 2.0, [0.1], error_kind="timeout", stream=1)
    rows = gaps(data, request(0, 0.0, [0.1], warmup=True), request(1, 1.0, [0.1]), broken)
    assert [(row["warmup"], row["failed"], row["stream"]) for row in rows] == [
        (True, False, 0),
        (False, False, 0),
        (False, True, 1),
    ]


def test_a_request_without_tokens_has_no_row(data: Path) -> None:
    rows = gaps(data, refused(0, 0.0), request(1, 1.0, [0.1, 0.2]))
    assert column(rows, "request_index") == [1, 1]


def test_quantiles_of_the_gaps_are_those_of_the_summary(data: Path) -> None:
    load(data, RUN_ID, run_tables(data, levels=[clean(data, 8)]))
    call = f"token_gaps('{RUN_ID}', 8, data := '{data}')"
    found = query(data, f"SELECT quantile_cont(gap_s, 0.5) AS p50 FROM {call} WHERE NOT warmup AND NOT failed")  # noqa: S608
    summary = query(data, "SELECT inter_token_s_p50 AS p50 FROM level_summary")
    assert found["p50"].to_pylist() == pytest.approx(summary["p50"].to_pylist(), rel=1e-6)


def test_a_level_of_more_than_9999_streams_has_its_file_too(data: Path) -> None:
    assert len(gaps(data, request(0, 0.0, [0.1]), concurrency=12_345)) == 1


def test_the_folder_is_data_unless_one_says_other(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    level(data / "data", 2, [request(0, 0.0, [0.1])])
    monkeypatch.chdir(data)
    assert query(data, f"FROM token_gaps('{RUN_ID}', 2)").num_rows == 1


def test_a_run_without_a_file_is_an_error_that_names_it(data: Path) -> None:
    with pytest.raises(WarehouseError, match=r"runs/none/level-0002\.parquet"):
        query(data, "FROM token_gaps('none', 2)")
