"""One judgement of a run from many numbers: what is beyond chance, how severe it is, and what is said of it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from shapebench.analysis.regression import RegressionCheck, Rule, check_regression
from shapebench.results.regression import check_run
from shapebench.runs.run_file import RunNotFoundError
from tests.unit.results.sql.results_file import ResultsFile

STEADY = (100, 102, 98, 101, 99)  # a run lies within 4.8 % of the mean in 95 of 100 cases
RULE = Rule()


@pytest.fixture
def results(tmp_path: Path) -> ResultsFile:
    return ResultsFile(tmp_path)


def row(effect_stddevs: float | None, change: float | None, **changes: Any) -> dict[str, Any]:
    """A row of `regressions`: a throughput, at concurrency 8, with 10 earlier runs."""
    usual = {"concurrency": 8, "level_verdict": "valid", "metric": "system_tokens_per_s", "stat": "total"}
    value = None if change is None else 100 * (1 + change)
    numbers = {"candidate": value, "baseline_mean": 100.0, "baseline_runs": 10, "change": change}
    verdict = "worse" if effect_stddevs is not None and effect_stddevs < -2.4 else "same"
    return {**usual, **numbers, "effect_stddevs": effect_stddevs, "verdict": verdict, **changes}


def ordinary(count: int) -> list[dict[str, Any]]:
    return [row(0.1, 0.001, concurrency=n) for n in range(1, count + 1)]


def test_a_run_like_those_before_it_is_no_regression() -> None:
    found = check_regression(ordinary(20), RULE)
    assert (found.known, found.severity, found.headline) == ("no-regression", "none", "No worse than the runs before")


def test_a_number_that_is_far_worse_than_chance_is_a_regression() -> None:
    found = check_regression([*ordinary(19), row(-8, -0.1, concurrency=32)], RULE)
    assert (found.known, found.severity) == ("regression", "warning")
    assert found.headline == "Worse than the runs before: System throughput -10% at concurrency 32"


def test_one_of_twenty_that_lies_outside_its_own_range_is_worth_a_notice_only() -> None:
    found = check_regression([*ordinary(19), row(-3, -0.1)], RULE)
    assert (found.known, found.severity, found.worse) == ("no-regression", "notice", ())
    assert found.sentences[0] == "Worse than their usual range: 1 of 20; chance explains some."


def test_the_same_number_alone_is_a_regression() -> None:
    assert check_regression([row(-3.6, -0.1)], RULE).known == "regression"


@pytest.mark.parametrize(
    ("effect", "known"),
    [
        (-2.9, "no-regression"),
        (-3.0, "regression"),
    ],  # Student's t, 9 degrees: 1 % lies beyond 2.821 * sqrt(1.1) = 2.959
)
def test_the_odds_are_those_of_one_more_run(effect: float, known: str) -> None:
    assert check_regression([row(effect, -0.1)], RULE).known == known


def test_a_second_number_is_held_against_one_less() -> None:
    """Holm: 5 standard deviations are within what 20 numbers ask for, 3.0 is beyond what the last one does."""
    both = check_regression([row(-6, -0.1, concurrency=1), row(-3.0, -0.1, concurrency=2)], RULE)
    assert [found.concurrency for found in both.worse] == [1, 2]


@pytest.mark.parametrize(("change", "severity"), [(-0.06, "warning"), (-0.19, "warning"), (-0.2, "critical")])
def test_how_grave_it_is_goes_by_its_size(change: float, severity: str) -> None:
    assert check_regression([row(-50, change)], RULE).severity == severity


def test_what_is_certain_but_does_not_matter_is_no_regression() -> None:
    assert check_regression([row(-50, -0.04)], RULE).known == "no-regression"


@pytest.mark.parametrize(("effect", "change", "known"), [(50, 0.5, "regression"), (-50, -0.5, "no-regression")])
def test_more_is_worse_for_times(effect: float, change: float, known: str) -> None:
    found = check_regression([row(effect, change, metric="ttft_s", stat="p95")], RULE)
    assert found.known == known


def test_a_run_that_is_better_is_no_regression() -> None:
    assert check_regression([row(50, 0.5)], RULE).severity == "none"


def test_earlier_runs_that_are_all_alike_leave_no_room_for_chance() -> None:
    assert check_regression([row(None, -0.1)], RULE).known == "regression"
    assert check_regression([row(None, 0.0)], RULE).known == "no-regression"


@pytest.mark.parametrize("rows", [[], [row(None, 0.0, baseline_runs=2)], [row(-50, -0.5, verdict="observed")]])
def test_without_anything_to_hold_it_against_it_cannot_be_told(rows: list[dict[str, Any]]) -> None:
    found = check_regression(rows, RULE)
    assert (found.known, found.severity) == ("cannot-tell", "none")


def test_a_level_that_is_invalid_now_is_worth_a_warning() -> None:
    lost = row(None, None, level_verdict="invalid", concurrency=32)
    found = check_regression([*ordinary(3), lost], RULE)
    assert (found.known, found.severity) == ("cannot-tell", "warning")
    assert found.headline == "Cannot tell: with 32 concurrent users, the numbers are invalid"


def test_a_level_that_was_never_valid_is_not() -> None:
    never = row(None, None, level_verdict="invalid", baseline_runs=0)
    assert check_regression([never], RULE).severity == "none"


def test_the_worst_comes_first() -> None:
    found = check_regression(
        [row(-50, -0.1), row(50, 0.4, metric="ttft_s", stat="mean", candidate=0.14, baseline_mean=0.1)], RULE
    )
    assert found.headline == "Worse than the runs before: Time to first token (mean) +40% at concurrency 8, and 1 more"
    assert found.sentences[0] == "Time to first token (mean) +40% at concurrency 8: 140 ms, where the mean was 100 ms."


def test_it_says_how_often_it_would_be_wrong() -> None:
    rows = [row(0.1, 0.001, baseline_runs=runs) for runs in (3, 10)]
    said = check_regression(rows, RULE).sentences
    assert said[0].startswith("Numbers compared: 2; earlier runs: 3 to 10;")
    assert "0.01 at most" in said[0]


def test_it_says_which_levels_are_new() -> None:
    rows = [*ordinary(1), row(None, None, baseline_runs=0, concurrency=64)]
    assert (
        "With 64 concurrent users, some numbers have fewer than 3 earlier runs."
        in check_regression(rows, RULE).sentences
    )


# From the results file


def measure(results: ResultsFile, values: Iterable[float], **about: Any) -> None:
    """A run a day, `r0` and so on."""
    for day, value in enumerate(values):
        results.run(f"r{day}", day, **about)
        results.level(f"r{day}", 8, system_tokens_per_s=value)
    results.ask("FROM runs")  # writes them


def judged(results: ResultsFile, run_id: str | None = None, rule: Rule = RULE) -> RegressionCheck:
    return check_run(results.data, run_id, rule).check


@pytest.mark.parametrize(
    ("newest", "known", "severity"),
    [(100, "no-regression", "none"), (92, "regression", "warning"), (50, "regression", "critical")],
)
def test_a_run_of_the_results_file_is_judged(newest: float, known: str, severity: str, results: ResultsFile) -> None:
    measure(results, (*STEADY, newest))
    found = judged(results, "r5")
    assert (found.known, found.severity) == (known, severity)


def test_the_newest_is_judged_unless_one_is_named(results: ResultsFile) -> None:
    measure(results, (*STEADY, 50))
    found = check_run(results.data, None, RULE)
    assert (found.run_id, found.url, found.model, found.shape) == ("r5", "http://a", "m", "VM.GPU.A10.1")


def test_the_newest_is_one_that_we_measured(results: ResultsFile) -> None:
    measure(results, STEADY)
    results.run("theirs", 100, source="guidellm")
    results.ask("FROM runs")
    assert check_run(results.data, None, RULE).run_id == "r4"


def test_how_many_earlier_runs_count_can_be_said(results: ResultsFile) -> None:
    measure(results, (1000, *STEADY, 50))
    assert judged(results, rule=Rule(last_n=5)).known == "regression"
    assert judged(results, rule=Rule(last_n=6)).known == "no-regression"  # 1000 makes the spread so wide


@pytest.mark.parametrize("run_id", ["r9", None])
def test_a_run_that_is_not_there_is_an_error(run_id: str | None, results: ResultsFile) -> None:
    results.ask("FROM runs")
    with pytest.raises(RunNotFoundError, match="`shapebench runs` lists the runs"):
        check_run(results.data, run_id, RULE)
