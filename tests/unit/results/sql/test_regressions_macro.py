"""A run against several earlier ones.

The steady baseline, 98 to 102 tokens/s in five runs, has a mean of 100 and a standard deviation of 1.5811; t with 4
degrees is 2.7764, so that one more run lies within 2.7764 * 1.5811 * sqrt(1 + 1/5) = 4.809 % of it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.results.sql.results_file import ResultsFile

STEADY = (100, 102, 98, 101, 99)
NOISY = (100, 120, 80, 110, 90)  # ten times the spread


@pytest.fixture
def results(tmp_path: Path) -> ResultsFile:
    return ResultsFile(tmp_path)


def measure(results: ResultsFile, run_id: str, day: int, tokens_per_s: float, **about: Any) -> None:
    results.run(run_id, day, **about)
    results.level(run_id, 8, system_tokens_per_s=tokens_per_s)


def baseline(results: ResultsFile, values: Iterable[float]) -> None:
    for day, value in enumerate(values):
        measure(results, f"r{day}", day, value)


def row(results: ResultsFile, arguments: str = "", metric: str = "system_tokens_per_s") -> dict[str, Any]:
    (only,) = results.ask(f"FROM regressions('new'{arguments}) WHERE metric = '{metric}'")
    return only


def judged(results: ResultsFile, earlier: Iterable[float], new: float) -> str:
    baseline(results, earlier)
    measure(results, "new", 100, new)
    return str(row(results)["verdict"])


def test_its_columns_are_these(results: ResultsFile) -> None:
    assert results.columns("FROM regressions('new')") == [
        *("concurrency", "level_verdict", "metric", "stat", "candidate"),
        *("baseline_mean", "baseline_stddev", "baseline_runs", "baseline_since"),
        *("change", "change_low", "change_high", "effect_stddevs", "min_detectable_change", "verdict"),
    ]


def test_the_numbers_are_those_reckoned_by_hand(results: ResultsFile) -> None:
    baseline(results, STEADY)
    measure(results, "new", 100, 94)
    found = row(results)
    assert (found["candidate"], found["baseline_mean"], found["baseline_runs"]) == (94, 100, 5)
    assert found["baseline_stddev"] == pytest.approx(1.5811, abs=0.0001)
    assert found["change"] == pytest.approx(-0.06)
    assert found["min_detectable_change"] == pytest.approx(0.04809, abs=0.0001)
    assert (found["change_low"], found["change_high"]) == pytest.approx((-0.10809, -0.01191), abs=0.0001)
    assert found["effect_stddevs"] == pytest.approx(-6 / 1.5811, abs=0.001)


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        (120, "better"),
        (105, "better"),  # 0.2 to 9.8 %
        (100.1, "same"),
        (100, "same"),  # -4.8 to 4.8 %
        (97, "inconclusive"),  # -7.8 to 1.8 %
        (95, "worse"),
        (50, "worse"),
    ],
)
def test_the_verdict_is_of_the_interval(new: float, verdict: str, results: ResultsFile) -> None:
    assert judged(results, STEADY, new) == verdict


@pytest.mark.parametrize("new", [80, 100, 120])
def test_what_runs_differ_by_anyway_is_no_regression(new: float, results: ResultsFile) -> None:
    assert judged(results, NOISY, new) == "inconclusive"  # 48 % either way: 5 % could not be detected


def test_how_precise_each_run_was_in_itself_does_not_count(results: ResultsFile) -> None:
    for day, value in enumerate((*NOISY, 80)):
        run_id = "new" if day == len(NOISY) else f"r{day}"
        results.run(run_id, day)
        results.level(run_id, 8, system_tokens_per_s=value, throughput_precision=0.0001)
    assert row(results)["verdict"] == "inconclusive"


def test_an_effect_that_is_great_enough_shows_in_noise_too(results: ResultsFile) -> None:
    assert judged(results, NOISY, 40) == "worse"


def test_how_much_matters_can_be_said(results: ResultsFile) -> None:
    baseline(results, STEADY)
    measure(results, "new", 100, 97)
    assert row(results, ", min_effect := 0.1")["verdict"] == "same"
    assert row(results, ", min_effect := 0.01")["verdict"] == "inconclusive"


@pytest.mark.parametrize("earlier", [(), (100,), (100, 101)])
def test_with_fewer_than_three_earlier_runs_it_is_inconclusive(
    earlier: tuple[float, ...], results: ResultsFile
) -> None:
    assert judged(results, earlier, 10) == "inconclusive"
    assert row(results)["baseline_runs"] == len(earlier)


def test_three_earlier_runs_are_enough_to_tell(results: ResultsFile) -> None:
    assert judged(results, (99, 100, 101), 50) == "worse"


def test_a_first_run_has_its_numbers_and_nothing_to_hold_them_against(results: ResultsFile) -> None:
    measure(results, "new", 0, 100)
    found = row(results)
    assert [found[name] for name in ("candidate", "baseline_mean", "change", "change_low", "baseline_runs")] == [
        *(100, None, None, None),
        0,
    ]


def test_earlier_runs_that_are_all_alike_leave_no_room_for_chance(results: ResultsFile) -> None:
    assert judged(results, (100, 100, 100), 90) == "worse"
    assert (row(results)["min_detectable_change"], row(results)["effect_stddevs"]) == (0, None)


# Which runs are the baseline


def test_later_runs_are_not_in_the_baseline(results: ResultsFile) -> None:
    baseline(results, STEADY)
    measure(results, "new", 100, 100)
    measure(results, "later", 101, 5000)
    assert (row(results)["baseline_runs"], row(results)["baseline_mean"]) == (5, 100)


def test_only_the_last_runs_are_in_the_baseline(results: ResultsFile) -> None:
    baseline(results, (1000, 1000, *STEADY))
    measure(results, "new", 100, 100)
    found = row(results, ", last_n := 5")
    assert (found["baseline_runs"], found["baseline_mean"]) == (5, 100)
    assert str(found["baseline_since"]) == "2026-07-03 00:00:00"


def test_ten_runs_are_the_baseline_unless_one_says_other(results: ResultsFile) -> None:
    baseline(results, range(100, 120))
    measure(results, "new", 100, 100)
    assert row(results)["baseline_runs"] == 10


@pytest.mark.parametrize("part", ["url", "model", "shape", "workload", "source"])
def test_runs_of_another_endpoint_workload_or_tool_are_not_in_the_baseline(part: str, results: ResultsFile) -> None:
    baseline(results, STEADY)
    measure(results, "other", 50, 5000, **{part: "other"})
    measure(results, "new", 100, 100)
    assert row(results)["baseline_runs"] == 5


def test_invalid_levels_are_not_in_the_baseline_and_older_ones_take_their_place(results: ResultsFile) -> None:
    baseline(results, STEADY)
    results.run("bad", 50)
    results.level("bad", 8, verdict="invalid", system_tokens_per_s=5000)
    measure(results, "new", 100, 100)
    found = row(results, ", last_n := 5")
    assert (found["baseline_runs"], found["baseline_mean"]) == (5, 100)


def test_suspect_levels_are_in_the_baseline(results: ResultsFile) -> None:
    results.run("r0", 0)
    results.level("r0", 8, verdict="suspect", system_tokens_per_s=100)
    measure(results, "new", 100, 100)
    assert row(results)["baseline_runs"] == 1


def test_an_invalid_level_of_the_run_itself_is_inconclusive_and_its_numbers_are_not_used(results: ResultsFile) -> None:
    baseline(results, STEADY)
    results.run("new", 100)
    results.level("new", 8, verdict="invalid", system_tokens_per_s=50)
    found = row(results)
    assert [found[name] for name in ("level_verdict", "candidate", "change", "verdict")] == [
        *("invalid", None, None),
        "inconclusive",
    ]


def test_numbers_that_another_tool_defines_otherwise_are_not_used(results: ResultsFile) -> None:
    baseline(results, STEADY)
    measure(results, "new", 100, 100)
    results.defined_otherwise("r0", "system_tokens_per_s")
    assert row(results)["baseline_runs"] == 4


def test_each_level_is_held_against_its_like(results: ResultsFile) -> None:
    for day in range(4):
        run_id = "new" if day == 3 else f"r{day}"
        results.run(run_id, day)
        results.level(run_id, 1, system_tokens_per_s=10)
        results.level(run_id, 32, system_tokens_per_s=100 if day < 3 else 50)
    rows = results.ask("SELECT concurrency, baseline_mean, verdict FROM regressions('new')")
    assert [tuple(r.values()) for r in rows] == [(1, 10, "same"), (32, 100, "worse")]


def test_a_level_that_only_the_baseline_has_is_left_out(results: ResultsFile) -> None:
    baseline(results, STEADY)
    results.level("r0", 64, system_tokens_per_s=100)
    measure(results, "new", 100, 100)
    assert [r["concurrency"] for r in results.ask("FROM regressions('new')")] == [8]


def test_a_run_that_does_not_exist_has_no_rows(results: ResultsFile) -> None:
    baseline(results, STEADY)
    assert results.ask("FROM regressions('new')") == []


# Metrics


def with_metrics(results: ResultsFile, factor: float, **more: float) -> list[dict[str, Any]]:
    """Three equal runs, and a new one whose metrics are all so many times theirs."""
    values = {
        "ttft_s_mean": 0.2,
        "ttft_s_p50": 0.2,
        "query_tokens_per_s_mean": 40.0,
        "system_tokens_per_s": 300.0,
        **more,
    }
    for day in range(4):
        run_id = "new" if day == 3 else f"r{day}"
        results.run(run_id, day)
        results.level(run_id, 8, **{name: value * (factor if day == 3 else 1) for name, value in values.items()})
    return results.ask("FROM regressions('new')")


@pytest.mark.parametrize(("factor", "times", "throughputs"), [(2.0, "worse", "better"), (0.5, "better", "worse")])
def test_less_is_better_for_times_and_more_for_throughput(
    factor: float, times: str, throughputs: str, results: ResultsFile
) -> None:
    found = {(r["metric"], r["stat"]): r["verdict"] for r in with_metrics(results, factor, ttft_s_p95=0.3)}
    assert found == {
        ("ttft_s", "mean"): times,
        ("ttft_s", "p50"): times,
        ("ttft_s", "p95"): times,
        ("query_tokens_per_s", "mean"): throughputs,
        ("system_tokens_per_s", "total"): throughputs,
    }


def test_a_99th_percentile_is_observed_whatever_it_is(results: ResultsFile) -> None:
    rows = with_metrics(results, 10, ttft_s_p99=0.4, inter_token_s_p99=0.05)
    observed = [(r["metric"], r["change"], r["verdict"]) for r in rows if r["stat"] == "p99"]
    assert observed == [("ttft_s", pytest.approx(9), "observed"), ("inter_token_s", pytest.approx(9), "observed")]


def test_a_percentile_that_none_of_them_claims_has_no_row(results: ResultsFile) -> None:
    assert "p95" not in {r["stat"] for r in with_metrics(results, 1)}


def test_a_percentile_that_only_the_baseline_claims_is_inconclusive(results: ResultsFile) -> None:
    baseline(results, STEADY)
    for day in range(5):
        results.level(f"r{day}", 16, ttft_s_p95=0.3)
    results.run("new", 100)
    results.level("new", 16, ttft_s_mean=0.2)
    rows = results.ask("SELECT stat, candidate, baseline_mean, verdict FROM regressions('new') WHERE stat = 'p95'")
    assert [tuple(r.values()) for r in rows] == [("p95", None, pytest.approx(0.3), "inconclusive")]
