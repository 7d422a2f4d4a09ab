"""What tokens cost, by hand."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.results.sql.results_file import ResultsFile


@pytest.fixture
def results(tmp_path: Path) -> ResultsFile:
    found = ResultsFile(tmp_path)
    found.run("r")
    return found


def row(results: ResultsFile, usd_per_hour: float = 2) -> dict[str, Any]:
    (only,) = results.ask(f"FROM cost({usd_per_hour})")
    return only


def test_its_columns_are_these(results: ResultsFile) -> None:
    assert results.columns("FROM cost(2)") == [
        *("run_id", "started_at", "model", "shape", "workload", "concurrency", "verdict", "system_tokens_per_s"),
        *("usd_per_million_output_tokens", "usd_per_million_tokens", "usd_per_user_hour"),
    ]


def test_40_tokens_per_s_for_each_of_32_at_2_dollars_an_hour_are_43_cents_for_a_million(results: ResultsFile) -> None:
    results.level("r", 32, system_tokens_per_s=32 * 40)
    assert row(results)["usd_per_million_output_tokens"] == pytest.approx(0.434, abs=0.0005)


def test_a_million_an_hour_costs_what_the_hour_costs(results: ResultsFile) -> None:
    results.level("r", 1, system_tokens_per_s=1e6 / 3600)
    assert row(results, 1.27)["usd_per_million_output_tokens"] == pytest.approx(1.27)


def test_prompts_count_with_the_answers_in_all_tokens(results: ResultsFile) -> None:
    results.level("r", 32, system_tokens_per_s=1e6 / 3600, input_tokens_mean=300, output_tokens_mean=100)
    assert row(results, 2)["usd_per_million_tokens"] == pytest.approx(0.5)  # a quarter of all tokens are answers


def test_an_hour_is_shared_among_the_users(results: ResultsFile) -> None:
    results.level("r", 32, system_tokens_per_s=1280)
    assert row(results)["usd_per_user_hour"] == 0.0625


def test_without_the_length_of_prompts_the_rest_is_known(results: ResultsFile) -> None:
    results.level("r", 1, system_tokens_per_s=100, output_tokens_mean=100)
    found = row(results)
    assert (found["usd_per_million_tokens"], found["usd_per_user_hour"]) == (None, 2)


def test_an_invalid_level_has_a_row_without_a_cost(results: ResultsFile) -> None:
    results.level("r", 1, verdict="invalid", system_tokens_per_s=100, input_tokens_mean=1, output_tokens_mean=1)
    found = row(results)
    assert found["verdict"] == "invalid"
    assert [found[name] for name in found if name.startswith("usd") or name == "system_tokens_per_s"] == [None] * 4


def test_a_level_without_throughput_has_a_row_without_a_cost(results: ResultsFile) -> None:
    results.level("r", 1)
    assert row(results)["usd_per_million_output_tokens"] is None


def test_rows_are_in_order_of_run_and_concurrency(results: ResultsFile) -> None:
    results.run("earlier", -1)
    for run_id, concurrency in (("r", 2), ("r", 1), ("earlier", 4)):
        results.level(run_id, concurrency, system_tokens_per_s=100)
    rows = results.ask("SELECT run_id, concurrency FROM cost(2)")
    assert [tuple(r.values()) for r in rows] == [("earlier", 4), ("r", 1), ("r", 2)]
