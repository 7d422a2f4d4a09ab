"""How throughput grows with concurrency, on curves that are easy to reckon."""

from pathlib import Path
from typing import Any

import pytest

from shapebench.analysis.scaling.growth import GROWING_SHARE
from tests.unit.results.sql.results_file import ResultsFile


@pytest.fixture
def results(tmp_path: Path) -> ResultsFile:
    return ResultsFile(tmp_path)


def curve(results: ResultsFile, tokens_per_s: dict[int, float], run_id: str = "r") -> None:
    results.run(run_id)
    for concurrency, value in tokens_per_s.items():
        results.level(run_id, concurrency, steady_tokens_per_s=value, system_tokens_per_s=value / 2)


def column(results: ResultsFile, name: str, run_id: str = "r") -> list[Any]:
    return [row[name] for row in results.ask(f"SELECT {name} FROM scaling WHERE run_id = '{run_id}'")]  # noqa: S608


def test_its_columns_are_these(results: ResultsFile) -> None:
    assert results.columns("FROM scaling") == [
        *("run_id", "started_at", "model", "shape", "workload", "concurrency", "verdict", "throughput", "tokens_per_s"),
        *("ideal_tokens_per_s", "efficiency", "step_from", "gain_share", "bends"),
    ]


def test_the_ideal_line_goes_through_the_lowest_level(results: ResultsFile) -> None:
    curve(results, {2: 100, 4: 180, 16: 400})
    assert column(results, "ideal_tokens_per_s") == [100, 200, 800]


def test_efficiency_is_the_share_of_the_ideal(results: ResultsFile) -> None:
    curve(results, {2: 100, 4: 180, 16: 400})
    assert column(results, "efficiency") == pytest.approx([1, 0.9, 0.5])


def test_a_gain_is_a_share_of_what_concurrency_gained(results: ResultsFile) -> None:
    curve(results, {1: 40, 2: 70, 6: 112})  # +75 % for +100 %, +60 % for +200 %
    assert column(results, "step_from") == [None, 1, 2]
    assert column(results, "gain_share") == [None, pytest.approx(0.75), pytest.approx(0.3)]


def test_it_bends_at_the_first_level_that_gains_too_little_and_only_there(results: ResultsFile) -> None:
    curve(results, {1: 100, 2: 200, 4: 210, 8: 400, 16: 410})  # gains of 5 % and 2.5 % for twice the concurrency
    assert column(results, "bends") == [False, False, True, False, False]


def test_a_curve_that_grows_throughout_bends_nowhere(results: ResultsFile) -> None:
    curve(results, {1: 100, 2: 150, 4: 200})
    assert column(results, "bends") == [False, False, False]


def test_a_throughput_that_falls_bends(results: ResultsFile) -> None:
    curve(results, {1: 100, 2: 90})
    assert column(results, "bends") == [False, True]


@pytest.mark.parametrize(("share", "bends"), [(GROWING_SHARE - 0.001, True), (GROWING_SHARE + 0.001, False)])
def test_too_little_is_what_the_reports_conclusion_calls_so(share: float, bends: bool, results: ResultsFile) -> None:
    curve(results, {16: 1000, 32: 1000 * (1 + share)})
    assert column(results, "bends") == [False, bends]


def test_throughput_is_the_steady_one_where_all_levels_have_it(results: ResultsFile) -> None:
    curve(results, {1: 100, 2: 150})
    assert column(results, "throughput") == ["steady_tokens_per_s"] * 2
    assert column(results, "tokens_per_s") == [100, 150]


def test_throughput_is_the_systems_at_all_levels_where_one_lacks_the_steady_one(results: ResultsFile) -> None:
    curve(results, {1: 100, 2: 150})
    results.level("r", 4, system_tokens_per_s=90)
    assert column(results, "throughput") == ["system_tokens_per_s"] * 3
    assert column(results, "tokens_per_s") == [50, 75, 90]


def test_an_invalid_level_has_a_row_and_takes_no_part(results: ResultsFile) -> None:
    results.run("r")
    results.level("r", 1, verdict="invalid", steady_tokens_per_s=1, system_tokens_per_s=1)
    results.level("r", 2, steady_tokens_per_s=100, system_tokens_per_s=100)
    results.level("r", 4, verdict="invalid", system_tokens_per_s=7)
    results.level("r", 8, steady_tokens_per_s=300, system_tokens_per_s=300)
    assert column(results, "verdict") == ["invalid", "valid", "invalid", "valid"]
    assert column(results, "tokens_per_s") == [None, 100, None, 300]
    assert column(results, "ideal_tokens_per_s") == [None, 100, None, 400]
    assert column(results, "step_from") == [None, None, None, 2]
    assert column(results, "gain_share") == [None, None, None, pytest.approx(2 / 3)]
    assert column(results, "bends") == [None, False, None, False]


def test_a_suspect_level_takes_part(results: ResultsFile) -> None:
    results.run("r")
    results.level("r", 1, verdict="suspect", system_tokens_per_s=100)
    results.level("r", 2, system_tokens_per_s=150)
    assert column(results, "efficiency") == [1, 0.75]


def test_a_level_without_throughput_has_a_row_and_takes_no_part(results: ResultsFile) -> None:
    curve(results, {1: 100, 4: 200})
    results.level("r", 2)
    assert column(results, "efficiency") == [1, None, 0.5]
    assert column(results, "throughput") == ["steady_tokens_per_s", None, "steady_tokens_per_s"]


def test_a_throughput_that_another_tool_defines_otherwise_takes_no_part(results: ResultsFile) -> None:
    results.run("r")
    results.level("r", 1, system_tokens_per_s=100)
    results.defined_otherwise("r", "system_tokens_per_s")
    assert column(results, "tokens_per_s") == [None]


def test_each_run_is_a_curve_of_its_own(results: ResultsFile) -> None:
    curve(results, {1: 100, 2: 105}, "a")
    curve(results, {4: 1000, 8: 2000}, "b")
    assert (column(results, "bends", "a"), column(results, "bends", "b")) == ([False, True], [False, False])
    assert column(results, "efficiency", "b") == [1, 1]
