"""Student's t in SQL, against scipy's and against our own in Python."""

from pathlib import Path

import pytest
from scipy import stats

from shapebench.support import batch_means as precision
from tests.unit.results.sql.results_file import ResultsFile


@pytest.fixture
def quantiles(tmp_path: Path) -> dict[int, float]:
    rows = ResultsFile(tmp_path).ask("SELECT freedom, t_quantile(freedom) AS t FROM range(1, 201) AS all_(freedom)")
    return {row["freedom"]: row["t"] for row in rows}


def test_it_is_students_within_four_ten_thousandths(quantiles: dict[int, float]) -> None:
    assert quantiles == pytest.approx({n: float(stats.t.ppf(0.975, n)) for n in range(1, 201)}, rel=0.0004)


def test_from_four_degrees_on_it_is_that_of_the_precision(quantiles: dict[int, float]) -> None:
    assert {n: quantiles[n] for n in range(4, 201)} == pytest.approx(
        {n: precision.t_quantile(n) for n in range(4, 201)}, rel=1e-8
    )


def test_without_freedom_there_is_none(tmp_path: Path) -> None:
    assert ResultsFile(tmp_path).ask("SELECT t_quantile(0) AS zero, t_quantile(NULL) AS nothing") == [
        {"zero": None, "nothing": None}
    ]
