"""`shapebench compare` and `shapebench site`, typed."""

from pathlib import Path

import pytest

from tests.conftest import Shell
from tests.in_process import InProcess
from tests.unit.results.sql.results_file import ResultsFile

pytestmark = pytest.mark.slow


@pytest.fixture
def plain() -> Shell:
    return Shell({})


@pytest.fixture
def here() -> InProcess:
    """Commands in this process."""
    return InProcess({})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    results = ResultsFile(tmp_path)
    for day, run_id in enumerate(("20260701-a", "20260702-b")):
        results.run(run_id, day)
        speed = {"query_tokens_per_s_mean": 40.0, "system_tokens_per_s": 1280.0}
        results.level(run_id, 32, ttft_s_mean=0.1, ttft_s_p95=0.2, **speed)
    results.ask("SELECT 1")
    return tmp_path


def test_a_comparison_as_json_names_its_page(plain: Shell, data: Path) -> None:
    answer = plain.run("compare", "20260701", "20260702", "--data", str(data), "--json").json
    assert answer["runs"] == ["20260701-a", "20260702-b"]
    assert Path(answer["page"]).exists()


def test_the_articles_machine_costs_what_its_list_price_says(here: InProcess, data: Path) -> None:
    arguments = ("compare", "20260701", "20260702", "--view", "shapes", "--data", str(data), "--json")
    (best, _) = here.run(*arguments).json["ranking"]
    assert best["per_million_output_tokens"] == pytest.approx(best["price_per_hour"] * 0.217, rel=0.01)


def test_a_run_that_is_not_there_is_named_with_the_remedy(here: InProcess, data: Path) -> None:
    finished = here.run("compare", "nope", "--data", str(data))
    assert finished.code == 1
    assert "There is no run nope" in finished.stderr
    assert "shapebench runs" in finished.stderr


@pytest.mark.parametrize("arguments", [("--view", "none"), ("--price", "A10"), ("--users", "many")])
def test_wrong_usage_is_refused(here: InProcess, data: Path, arguments: tuple[str, str]) -> None:
    assert here.run("compare", "20260701", *arguments, "--data", str(data)).code == 2


def test_a_site_says_which_files_it_wrote(here: InProcess, data: Path, tmp_path: Path) -> None:
    answer = here.run("site", "--data", str(data), "--to", str(tmp_path / "site"), "--json").json
    assert answer["index"] in answer["written"]
    assert Path(answer["index"]).exists()
