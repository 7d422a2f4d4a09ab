"""Two runs side by side; numbers such that the intervals can be reckoned by hand."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.results.sql.results_file import ResultsFile


@pytest.fixture
def results(tmp_path: Path) -> ResultsFile:
    found = ResultsFile(tmp_path)
    found.run("a", 0)
    found.run("b", 1)
    return found


def throughputs(results: ResultsFile, before: float, after: float, precision: tuple[float, float] | None) -> None:
    for run_id, value, within in zip("ab", (before, after), precision or (None, None), strict=True):
        results.level(run_id, 8, steady_tokens_per_s=value, throughput_precision=within)


def ttfts(results: ResultsFile, before: float, after: float, precision: float) -> None:
    for run_id, value in (("a", before), ("b", after)):
        results.level(run_id, 8, ttft_s_mean=value, ttft_precision=precision)


def row(results: ResultsFile, arguments: str = "'a', 'b'", metric: str = "steady_tokens_per_s") -> dict[str, Any]:
    (only,) = results.ask(f"FROM compare_runs({arguments}) WHERE metric = '{metric}'")
    return only


def test_its_columns_are_these(results: ResultsFile) -> None:
    assert results.columns("FROM compare_runs('a', 'b')") == [
        *("concurrency", "metric", "stat", "before", "after", "difference", "ratio"),
        *("difference_low", "difference_high", "verdict", "before_verdict", "after_verdict"),
    ]


def test_all_main_metrics_are_set_side_by_side_in_order(results: ResultsFile) -> None:
    values = {
        "ttft_s_mean": 0.2,
        "ttft_s_p95": 0.4,
        "e2e_s_mean": 2.0,
        "tpot_s_mean": 0.02,
        "query_tokens_per_s_mean": 50.0,
        "system_tokens_per_s": 400.0,
        "steady_tokens_per_s": 500.0,
        "error_rate": 0.5,
    }
    results.level("a", 8, **values)
    results.level("b", 8, **{name: 2 * value for name, value in values.items()})
    rows = results.ask("FROM compare_runs('a', 'b')")
    assert [(r["metric"], r["stat"]) for r in rows] == [
        *(("ttft_s", "mean"), ("ttft_s", "p95"), ("e2e_s", "mean"), ("tpot_s", "mean"), ("query_tokens_per_s", "mean")),
        *(("system_tokens_per_s", "total"), ("steady_tokens_per_s", "total"), ("error_rate", "total")),
    ]
    assert [r["before"] for r in rows] == list(values.values())
    assert [r["difference"] for r in rows] == list(values.values())
    assert {r["ratio"] for r in rows} == {2.0}


def test_the_half_widths_of_both_add_as_squares(results: ResultsFile) -> None:
    throughputs(results, 100, 200, (0.03, 0.02))  # plus or minus 3 and 4
    found = row(results)
    assert (found["difference_low"], found["difference_high"]) == (pytest.approx(95), pytest.approx(105))


def test_the_precision_of_ttft_is_that_of_its_mean(results: ResultsFile) -> None:
    ttfts(results, 1.0, 1.5, 0.1)
    found = row(results, metric="ttft_s")
    assert found["difference_high"] - found["difference"] == pytest.approx((0.1**2 + 0.15**2) ** 0.5)


@pytest.mark.parametrize(
    ("after", "precision", "verdict"),
    [
        (110.0, 0.01, "better"),
        (90.0, 0.01, "worse"),
        (101.0, 0.01, "same"),  # -0.4 to 2.4 %
        (98.0, 0.01, "same"),  # -3.4 to -0.6 %: less, but not so much that it matters
        (104.0, 0.04, "inconclusive"),  # -1.8 to 9.8 %
        (100.0, 0.04, "inconclusive"),  # -5.7 to 5.7 %
    ],
)
def test_the_verdict_is_of_the_interval(after: float, precision: float, verdict: str, results: ResultsFile) -> None:
    throughputs(results, 100, after, (precision, precision))
    assert row(results)["verdict"] == verdict


@pytest.mark.parametrize(("after", "verdict"), [(0.5, "better"), (2.0, "worse")])
def test_less_is_better_for_times(after: float, verdict: str, results: ResultsFile) -> None:
    ttfts(results, 1.0, after, 0.05)
    assert row(results, metric="ttft_s")["verdict"] == verdict


def test_how_much_matters_can_be_said(results: ResultsFile) -> None:
    throughputs(results, 100, 104, (0.04, 0.04))
    assert row(results, "'a', 'b', min_effect := 0.1")["verdict"] == "same"


def test_without_an_interval_nothing_is_judged(results: ResultsFile) -> None:
    throughputs(results, 100, 200, None)
    found = row(results)
    assert [found[name] for name in ("ratio", "difference_low", "difference_high", "verdict")] == [2, None, None, None]


def test_a_level_that_is_invalid_in_one_is_shown_and_not_judged(results: ResultsFile) -> None:
    results.level("a", 8, steady_tokens_per_s=100, throughput_precision=0.01)
    results.level("b", 8, verdict="invalid", steady_tokens_per_s=200, throughput_precision=0.01)
    found = row(results)
    assert [found[name] for name in ("after", "before_verdict", "after_verdict", "verdict")] == [
        *(200, "valid", "invalid"),
        None,
    ]


def test_only_levels_that_both_have_are_compared(results: ResultsFile) -> None:
    for run_id, levels in (("a", (1, 2)), ("b", (2, 4))):
        for concurrency in levels:
            results.level(run_id, concurrency, system_tokens_per_s=100)
    assert [r["concurrency"] for r in results.ask("FROM compare_runs('a', 'b')")] == [2]


def test_a_number_that_one_lacks_is_null_there(results: ResultsFile) -> None:
    results.level("a", 8, ttft_s_mean=0.2)
    results.level("b", 8)
    found = row(results, metric="ttft_s")
    assert (found["before"], found["after"], found["difference"]) == (0.2, None, None)


def test_a_number_that_another_tool_defines_otherwise_counts_as_missing(results: ResultsFile) -> None:
    throughputs(results, 100, 200, None)
    results.defined_otherwise("b", "steady_tokens_per_s")
    assert row(results)["after"] is None


def test_a_run_is_the_same_as_itself(results: ResultsFile) -> None:
    throughputs(results, 100, 200, (0.01, 0.01))
    found = row(results, "'a', 'a'")
    assert (found["difference"], found["verdict"]) == (0, "same")
