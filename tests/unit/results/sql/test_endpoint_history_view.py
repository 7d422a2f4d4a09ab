"""An endpoint over time: in order, and each run against the one before."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.results.sql.results_file import ResultsFile


@pytest.fixture
def results(tmp_path: Path) -> ResultsFile:
    return ResultsFile(tmp_path)


def measure(results: ResultsFile, run_id: str, day: int, tokens_per_s: float, **changes: Any) -> None:
    results.run(run_id, day, **changes)
    results.level(run_id, 8, ttft_s_mean=10 / tokens_per_s, system_tokens_per_s=tokens_per_s)


def changes_of(results: ResultsFile) -> dict[str, tuple[str | None, float | None]]:
    rows = results.ask("SELECT run_id, previous_run_id, system_tokens_per_s_change FROM endpoint_history")
    return {row["run_id"]: (row["previous_run_id"], row["system_tokens_per_s_change"]) for row in rows}


def test_its_columns_are_these(results: ResultsFile) -> None:
    assert results.columns("FROM endpoint_history") == [
        *("url", "model", "shape", "workload", "source", "concurrency", "started_at", "run_id", "server_version"),
        *("verdict", "completed", "failed"),
        *("ttft_s_mean", "ttft_s_p95", "query_tokens_per_s_mean", "system_tokens_per_s", "previous_run_id"),
        *("ttft_s_mean_change", "ttft_s_p95_change", "query_tokens_per_s_mean_change", "system_tokens_per_s_change"),
    ]


def test_runs_are_in_order_of_time_whatever_their_names(results: ResultsFile) -> None:
    for run_id, day in (("a", 3), ("b", 1), ("c", 2)):
        measure(results, run_id, day, 100)
    assert list(changes_of(results)) == ["b", "c", "a"]


def test_a_change_is_a_share_of_the_run_before(results: ResultsFile) -> None:
    for day, tokens_per_s in enumerate((100, 80, 100)):
        measure(results, f"r{day}", day, tokens_per_s)
    assert changes_of(results) == {
        "r0": (None, None),
        "r1": ("r0", pytest.approx(-0.2)),
        "r2": ("r1", pytest.approx(0.25)),
    }


def test_all_main_metrics_have_their_change(results: ResultsFile) -> None:
    for run_id, day, factor in (("a", 0, 1), ("b", 1, 2)):
        results.run(run_id, day)
        results.level(
            run_id,
            1,
            ttft_s_mean=0.5 * factor,
            ttft_s_p95=1 / factor,
            query_tokens_per_s_mean=10 + 5 * factor,
            system_tokens_per_s=30 * factor,
        )
    (row,) = results.ask("FROM endpoint_history WHERE run_id = 'b'")
    assert [row[name] for name in row if name.endswith("_change")] == pytest.approx([1, -0.5, 1 / 3, 1])


@pytest.mark.parametrize("part", ["url", "model", "shape", "workload", "source"])
def test_another_endpoint_workload_or_tool_is_a_history_of_its_own(part: str, results: ResultsFile) -> None:
    measure(results, "a", 0, 100)
    measure(results, "other", 1, 500, **{part: "other"})
    measure(results, "b", 2, 110)
    assert changes_of(results) == {"a": (None, None), "other": (None, None), "b": ("a", pytest.approx(0.1))}


def test_each_concurrency_is_a_history_of_its_own(results: ResultsFile) -> None:
    for day, levels in enumerate(((1, 2), (2,), (1,))):
        results.run(f"r{day}", day)
        for concurrency in levels:
            results.level(f"r{day}", concurrency, system_tokens_per_s=100)
    rows = results.ask("SELECT concurrency, run_id, previous_run_id FROM endpoint_history")
    assert [tuple(row.values()) for row in rows] == [(1, "r0", None), (1, "r2", "r0"), (2, "r0", None), (2, "r1", "r0")]


def test_an_invalid_level_has_its_numbers_but_no_changes_and_is_passed_over(results: ResultsFile) -> None:
    measure(results, "a", 0, 100)
    results.run("bad", 1)
    results.level("bad", 8, verdict="invalid", system_tokens_per_s=5)
    measure(results, "b", 2, 110)
    assert changes_of(results) == {"a": (None, None), "bad": (None, None), "b": ("a", pytest.approx(0.1))}
    assert results.ask("SELECT system_tokens_per_s FROM endpoint_history WHERE run_id = 'bad'")[0] == {
        "system_tokens_per_s": 5
    }


def test_a_number_that_the_run_before_lacks_has_no_change(results: ResultsFile) -> None:
    results.run("a", 0)
    results.level("a", 8, ttft_s_mean=1)
    measure(results, "b", 1, 100)
    assert changes_of(results)["b"] == ("a", None)
