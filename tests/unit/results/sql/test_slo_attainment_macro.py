"""Who was served as well as promised, of requests that are written out."""

from pathlib import Path
from typing import Any

import pytest

from shapebench.results.database import query
from tests.stored_run import store_run
from tests.unit.results.sql.results_file import ResultsFile


@pytest.fixture
def results(tmp_path: Path) -> ResultsFile:
    found = ResultsFile(tmp_path)
    found.run("r")
    found.level("r", 8)
    return found


def answer(results: ResultsFile, index: int, **changes: Any) -> None:
    """One that meets all limits: 40 tokens in 2 s."""
    times = {"ttft_s": 0.2, "e2e_s": 2.0, "tpot_s": 0.046, "query_tokens_per_s": 20.0, "output_tokens": 40}
    results.request("r", 8, index, **{**times, **changes})


def row(results: ResultsFile, arguments: str = "") -> dict[str, Any]:
    (only,) = results.ask(f"FROM slo_attainment({arguments})")
    return only


@pytest.fixture
def mixed(results: ResultsFile) -> ResultsFile:
    """Of four measured requests one meets the usual limits; from the first sending to the last arrival it is 10 s."""
    answer(results, 0, sent_s=-3.0, warmup=True)
    answer(results, 1, sent_s=0.0)
    answer(results, 2, sent_s=1.0, ttft_s=0.6)
    answer(results, 3, sent_s=2.0, e2e_s=8.0, query_tokens_per_s=5.0)
    failed = dict.fromkeys(("ttft_s", "e2e_s", "tpot_s", "query_tokens_per_s", "output_tokens"))
    answer(results, 4, sent_s=9.0, **failed, error_kind="timeout")
    return results


def test_its_columns_are_these(results: ResultsFile) -> None:
    assert results.columns("FROM slo_attainment()") == [
        *("run_id", "started_at", "model", "shape", "workload", "concurrency", "verdict", "requests", "attained"),
        *("attainment", "goodput_requests_per_s", "goodput_tokens_per_s"),
    ]


def test_attainment_is_the_share_of_measured_requests_that_met_all_limits(mixed: ResultsFile) -> None:
    found = row(mixed)
    assert (found["requests"], found["attained"], found["attainment"]) == (4, 1, 0.25)


def test_goodput_is_what_came_of_them_over_the_levels_time(mixed: ResultsFile) -> None:
    found = row(mixed)
    assert found["goodput_requests_per_s"] == pytest.approx(0.1)
    assert found["goodput_tokens_per_s"] == pytest.approx(4)


@pytest.mark.parametrize(
    ("limits", "attained"),
    [
        ("ttft_s_limit := 0.6", 2),
        ("ttft_s_limit := NULL", 2),
        ("query_tokens_per_s_limit := 5", 2),
        ("query_tokens_per_s_limit := NULL", 2),
        ("ttft_s_limit := NULL, query_tokens_per_s_limit := NULL", 3),
        ("ttft_s_limit := NULL, query_tokens_per_s_limit := NULL, e2e_s_limit := 2", 2),
        ("tpot_s_limit := 0.04", 0),
        ("tpot_s_limit := 0.046", 1),
        ("query_tokens_per_s_limit := 20.5", 0),
    ],
)
def test_limits_can_be_given_and_taken_away(limits: str, attained: int, mixed: ResultsFile) -> None:
    assert row(mixed, limits)["attained"] == attained


def test_failed_requests_attain_nothing_even_without_limits(mixed: ResultsFile) -> None:
    assert row(mixed, "ttft_s_limit := NULL, query_tokens_per_s_limit := NULL")["attainment"] == 0.75


def test_a_request_that_failed_half_way_attains_nothing(results: ResultsFile) -> None:
    answer(results, 0, error_kind="connection")
    assert row(results)["attained"] == 0


def test_a_number_that_is_not_known_is_not_attained(results: ResultsFile) -> None:
    answer(results, 0, query_tokens_per_s=None)
    answer(results, 1)
    assert row(results)["attained"] == 1
    assert row(results, "query_tokens_per_s_limit := NULL")["attained"] == 2


def test_an_answer_of_one_token_cannot_miss_the_time_per_token(results: ResultsFile) -> None:
    answer(results, 0, tpot_s=None, output_tokens=1)
    answer(results, 1, tpot_s=None, output_tokens=2)
    answer(results, 2, tpot_s=0.02)
    assert row(results, "tpot_s_limit := 0.01")["attained"] == 1


def test_where_all_requests_failed_goodput_is_zero(results: ResultsFile) -> None:
    answer(results, 0, e2e_s=None, ttft_s=None, error_kind="timeout")
    found = row(results)
    assert [found[name] for name in ("attainment", "goodput_requests_per_s", "goodput_tokens_per_s")] == [0, 0, 0]


def test_without_the_times_of_sending_the_level_took_its_wall_time(results: ResultsFile) -> None:
    answer(results, 0, sent_s=None)
    assert row(results)["goodput_tokens_per_s"] == pytest.approx(40 / 60)


def test_a_level_whose_requests_are_not_kept_has_a_row_of_nulls(results: ResultsFile) -> None:
    found = row(results)
    assert [found[name] for name in ("concurrency", "requests", "attainment", "goodput_tokens_per_s")] == [
        *(8, None, None),
        None,
    ]


def test_an_invalid_level_is_shown_as_such(results: ResultsFile) -> None:
    results.level("r", 16, verdict="invalid")
    assert [r["verdict"] for r in results.ask("FROM slo_attainment()")] == ["valid", "invalid"]


def test_where_all_attain_goodput_is_the_system_throughput(tmp_path: Path) -> None:
    store_run(tmp_path)  # 10 tokens/s for each query
    sql = "FROM slo_attainment(query_tokens_per_s_limit := 9) AS slo JOIN level_summary USING (run_id, concurrency)"
    rows = query(tmp_path, f"SELECT attainment, slo.goodput_tokens_per_s, system_tokens_per_s {sql}").to_pylist()
    assert [r["attainment"] for r in rows] == [1, 1]
    assert [r["goodput_tokens_per_s"] for r in rows] == pytest.approx([r["system_tokens_per_s"] for r in rows])


def test_where_no_request_has_a_number_that_is_asked_for_nothing_is_known(results: ResultsFile) -> None:
    answer(results, 1, query_tokens_per_s=None)
    assert row(results)["attainment"] is None
    assert row(results, "query_tokens_per_s_limit := NULL")["attainment"] == 1
