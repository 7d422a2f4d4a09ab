"""The distribution of a level's latencies, of requests whose times are 1, 2, 3, ... hundredths of a second."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shapebench.analysis.summary import min_samples
from tests.unit.results.sql.results_file import ResultsFile


@pytest.fixture
def results(tmp_path: Path) -> ResultsFile:
    found = ResultsFile(tmp_path)
    found.run("r")
    found.level("r", 4)
    return found


def answer(results: ResultsFile, index: int, ttft_s: float, **changes: Any) -> None:
    results.request("r", 4, index, **{"ttft_s": ttft_s, "e2e_s": ttft_s + 1, "tpot_s": 0.01, **changes})


def answers(results: ResultsFile, number: int) -> None:
    for index in range(number):
        answer(results, index, (index + 1) / 100)


def values(results: ResultsFile, metric: str) -> dict[float, float | None]:
    rows = results.ask(f"FROM latency_distribution('r', 4) WHERE metric = '{metric}'")
    return {row["quantile"]: row["value"] for row in rows}


def test_its_columns_are_these(results: ResultsFile) -> None:
    columns = results.columns("FROM latency_distribution('r', 4)")
    assert columns == ["verdict", "metric", "quantile", "value", "sample_count"]


def test_each_latency_has_every_hundredth_and_the_greatest_in_order(results: ResultsFile) -> None:
    rows = results.ask("FROM latency_distribution('r', 4)")
    assert [(row["metric"], row["quantile"]) for row in rows] == [
        (metric, percent / 100) for metric in ("ttft_s", "e2e_s", "tpot_s") for percent in range(1, 101)
    ]


def test_quantiles_are_those_of_the_requests(results: ResultsFile) -> None:
    answers(results, 101)  # 0.01 to 1.01 s: the p-th percentile is the (p + 1)-th of them
    found = values(results, "ttft_s")
    assert [found[q] for q in (0.05, 0.5, 0.9, 0.95, 1.0)] == pytest.approx([0.06, 0.51, 0.91, 0.96, 1.01])
    assert values(results, "e2e_s")[0.5] == pytest.approx(1.51)
    assert values(results, "tpot_s")[0.5] == pytest.approx(0.01)


def test_between_two_requests_a_quantile_is_what_the_summary_would_say(results: ResultsFile) -> None:
    answers(results, 30)
    times = np.arange(1, 31) / 100
    assert values(results, "ttft_s")[0.75] == pytest.approx(np.percentile(times, 75))


def test_a_percentile_of_too_few_requests_is_withheld(results: ResultsFile) -> None:
    answers(results, 99)
    assert values(results, "ttft_s")[0.95] is None
    answer(results, 99, 1.0)
    assert values(results, "ttft_s")[0.95] is not None  # 5 / (1 - 0.95) = 100


def test_what_is_withheld_is_what_the_metrics_withhold(results: ResultsFile) -> None:
    answers(results, 40)
    shown = {round(100 * q) for q, value in values(results, "ttft_s").items() if value is not None and q < 1}
    assert shown == {percent for percent in range(1, 100) if min_samples(percent) <= 40}


def test_the_greatest_is_always_shown(results: ResultsFile) -> None:
    answers(results, 1)
    assert {q: v for q, v in values(results, "ttft_s").items() if v is not None} == {1.0: 0.01}


def test_warm_up_and_failed_requests_are_left_out(results: ResultsFile) -> None:
    answers(results, 10)
    answer(results, 10, 9.0, warmup=True)
    answer(results, 11, 9.0, error_kind="timeout")
    rows = results.ask("SELECT DISTINCT sample_count FROM latency_distribution('r', 4)")
    assert (rows, values(results, "ttft_s")[1.0]) == ([{"sample_count": 10}], pytest.approx(0.1))


def test_an_answer_of_one_token_has_no_time_per_token(results: ResultsFile) -> None:
    answers(results, 2)
    answer(results, 2, 0.1, tpot_s=None)
    rows = results.ask("SELECT metric, sample_count FROM latency_distribution('r', 4) WHERE quantile = 1")
    assert [tuple(row.values()) for row in rows] == [("ttft_s", 3), ("e2e_s", 3), ("tpot_s", 2)]


def test_other_levels_and_runs_are_left_out(results: ResultsFile) -> None:
    answers(results, 1)
    results.level("r", 8)
    results.request("r", 8, 0, ttft_s=5.0, e2e_s=6.0)
    assert values(results, "ttft_s")[1.0] == pytest.approx(0.01)


def test_a_level_whose_requests_are_not_kept_has_none_and_says_so(results: ResultsFile) -> None:
    rows = results.ask("SELECT DISTINCT verdict, value, sample_count FROM latency_distribution('r', 4)")
    assert rows == [{"verdict": "valid", "value": None, "sample_count": 0}]


def test_a_level_that_does_not_exist_has_no_rows(results: ResultsFile) -> None:
    assert results.ask("FROM latency_distribution('r', 5)") == []
