"""How throughput grows with concurrency, on curves that are easy to reckon."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from shapebench.analysis.scaling.growth import GROWING_SHARE
from shapebench.analysis.scaling.run_curve import level_curve
from shapebench.report.charts.fitted import fitted
from shapebench.report.charts.scaling import sentences
from shapebench.results.database import FILE_NAME
from shapebench.results.views import read_levels
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
        *("ideal_tokens_per_s", "efficiency", "step_from", "gain_share", "is_knee"),
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


def test_the_knee_is_the_level_at_which_growth_ends_and_no_other(results: ResultsFile) -> None:
    curve(results, {1: 100, 2: 200, 4: 400, 8: 410, 16: 415})
    assert column(results, "is_knee") == [False, False, True, False, False]


def test_one_step_that_gains_little_by_chance_is_no_knee(results: ResultsFile) -> None:
    curve(results, {1: 100, 2: 200, 4: 210, 8: 400, 16: 790})
    assert column(results, "is_knee") == [False] * 5


def test_a_curve_that_grows_throughout_has_no_knee(results: ResultsFile) -> None:
    curve(results, {1: 100, 2: 150, 4: 200})
    assert column(results, "is_knee") == [False, False, False]
    assert results.ask("SELECT knee, knee_low, knee_high, uncertain FROM saturation") == [
        {"knee": None, "knee_low": None, "knee_high": None, "uncertain": False}
    ]


def test_a_throughput_that_falls_has_its_knee_before_the_fall(results: ResultsFile) -> None:
    curve(results, {1: 100, 2: 90})
    assert column(results, "is_knee") == [True, False]


@pytest.mark.parametrize(("share", "is_knee"), [(GROWING_SHARE - 0.001, True), (GROWING_SHARE + 0.001, False)])
def test_too_little_is_what_the_reports_conclusion_calls_so(share: float, is_knee: bool, results: ResultsFile) -> None:
    curve(results, {16: 1000, 32: 1000 * (1 + share)})
    assert column(results, "is_knee") == [is_knee, False]


@pytest.mark.parametrize(
    "tokens_per_s",
    [
        {1: 40, 2: 78, 4: 150, 8: 280, 16: 450, 32: 600, 64: 610},
        {1: 40, 2: 79, 4: 155, 8: 300, 16: 310, 32: 250},
        {1: 40, 2: 78, 4: 150, 8: 280},
    ],
    ids=["saturates", "falls", "grows"],
)
def test_view_and_report_have_growth_end_at_the_same_concurrency(
    tokens_per_s: dict[int, float], results: ResultsFile
) -> None:
    curve(results, tokens_per_s)
    knees = [row["concurrency"] for row in results.ask("SELECT concurrency FROM scaling WHERE is_knee")]
    scaling, levels = (read_levels(results.data, view, "r") for view in ("scaling", "level_summary"))
    sentence = sentences(scaling, fitted(scaling, levels))[1]
    assert (f"about {knees[0]} " if knees else "still grows") in sentence


def test_a_run_that_an_earlier_version_loaded_has_no_knee_and_does_not_claim_to_grow(results: ResultsFile) -> None:
    curve(results, {1: 100, 2: 200, 4: 210})
    results.ask("FROM runs")
    with duckdb.connect(results.data / FILE_NAME) as connection:
        connection.execute("DELETE FROM raw.saturation")
    assert column(results, "is_knee") == [None, None, None]


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
    assert column(results, "is_knee") == [None, False, None, False]


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
    assert (column(results, "is_knee", "a"), column(results, "is_knee", "b")) == ([True, False], [False, False])
    assert column(results, "efficiency", "b") == [1, 1]


@pytest.mark.parametrize("last", [{"steady_tokens_per_s": 350}, {}], ids=["steady", "one level without"])
def test_the_conclusion_and_the_view_take_the_same_throughput(last: dict[str, float], results: ResultsFile) -> None:
    curve(results, {1: 100, 2: 200})
    results.level("r", 4, system_tokens_per_s=170, **last)
    results.level("r", 8, verdict="invalid", system_tokens_per_s=900, steady_tokens_per_s=900)
    view = results.ask("SELECT concurrency, tokens_per_s FROM scaling WHERE tokens_per_s IS NOT NULL")
    taken = level_curve(read_levels(results.data, "level_summary", "r")).set_index("concurrency")["system_tokens_per_s"]
    assert taken.to_dict() == {row["concurrency"]: row["tokens_per_s"] for row in view}
