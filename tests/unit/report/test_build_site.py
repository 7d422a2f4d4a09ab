"""The pages of all runs, and how few of them change with a new one."""

import re
from pathlib import Path

import pytest

from shapebench.report.build_site import Built, build
from tests.unit.results.sql.results_file import ResultsFile

LEVEL = {"ttft_s_mean": 0.1, "ttft_s_p95": 0.2, "query_tokens_per_s_mean": 40.0, "system_tokens_per_s": 80.0}


def add(results: ResultsFile, run_id: str, day: int, **about: str) -> None:
    results.run(run_id, day, **about)
    results.level(run_id, 1, **LEVEL)
    results.level(run_id, 2, "suspect", **LEVEL)
    results.ask("SELECT 1")
    report = results.data / "reports" / run_id
    (report / "validation").mkdir(parents=True)
    (report / "index.html").write_text(f"report of {run_id}", encoding="utf-8")
    (report / "validation" / "index.html").write_text("docs", encoding="utf-8")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> ResultsFile:
    found = ResultsFile(tmp_path_factory.mktemp("stored"))
    add(found, "first", 0)
    add(found, "other", 1, url="http://b", shape="H100")
    return found


@pytest.fixture
def results(stored: ResultsFile, tmp_path: Path, blank: None) -> ResultsFile:
    """Two runs, whose pages have blank pictures."""
    return stored.copy_to(tmp_path)


def built(results: ResultsFile) -> Built:
    return build(results.data, results.data / "site")


def names(results: ResultsFile, built: Built) -> set[str]:
    return {file.relative_to(results.data / "site").as_posix() for file in built.written}


def index(results: ResultsFile) -> str:
    return built(results).index.read_text(encoding="utf-8")


def test_a_first_build_has_the_index_the_reports_and_a_history_for_each_endpoint(results: ResultsFile) -> None:
    pages = {name for name in names(results, built(results)) if name.endswith(".html")}
    reports = {f"runs/{run}/{page}" for run in ("first", "other") for page in ("index.html", "validation/index.html")}
    assert {"index.html", *reports} <= pages
    assert len([name for name in pages if re.fullmatch(r"endpoints/\w+/index.html", name)]) == 2


def test_a_second_build_writes_nothing(results: ResultsFile) -> None:
    built(results)
    assert built(results).written == ()


@pytest.mark.nightly
def test_a_new_run_changes_the_index_its_endpoint_and_its_own_folder_only(results: ResultsFile) -> None:
    built(results)
    add(results, "second", 2)
    changed = names(results, built(results))
    assert {name for name in changed if not name.startswith("endpoints/")} == {
        "index.html",
        "runs/second/index.html",
        "runs/second/validation/index.html",
    }
    assert len({name.split("/")[1] for name in changed if name.startswith("endpoints/")}) == 1


@pytest.mark.nightly
def test_a_report_that_was_drawn_again_is_copied_again(results: ResultsFile) -> None:
    built(results)
    (results.data / "reports" / "first" / "index.html").write_text("drawn again", encoding="utf-8")
    assert names(results, built(results)) == {"runs/first/index.html"}


@pytest.mark.nightly
def test_the_newest_run_comes_first(results: ResultsFile) -> None:
    page = index(results)
    assert page.index("runs/other/index.html") < page.index("runs/first/index.html")


@pytest.mark.nightly
def test_a_run_without_a_report_is_listed_without_a_link(results: ResultsFile) -> None:
    results.run("undrawn", 5)
    results.ask("SELECT 1")
    page = index(results)
    assert "undrawn" in page
    assert "runs/undrawn" not in page


def test_every_link_of_the_index_leads_somewhere(results: ResultsFile) -> None:
    ways = re.findall(r'<a href="([^"]+)"', index(results))
    assert ways
    assert [way for way in ways if not (results.data / "site" / way).exists()] == []


@pytest.mark.nightly
def test_a_card_draws_a_point_for_each_level_hollow_where_it_is_doubtful(results: ResultsFile) -> None:
    assert re.findall(r'<circle class="(\w+)"', index(results)) == ["valid", "suspect"] * 2


@pytest.mark.nightly
def test_filters_offer_what_there_is(results: ResultsFile) -> None:
    assert re.findall(r'<option value="\d+">([^<]+)', index(results)) == [
        "m",
        "H100",
        "VM.GPU.A10.1",
        "http://a",
        "http://b",
    ]


def test_hostile_names_change_only_the_text(results: ResultsFile) -> None:
    hostile = "</script><script>alert(1)</script>\"'<img src=x onerror=alert(2)>"
    add(results, "evil", 3, model=hostile, url=f"http://{hostile}", headline=hostile, workload=hostile)
    page = index(results)
    assert "<img src=x" not in page
    assert page.count("<script") == 1


def test_an_empty_results_file_has_an_index(tmp_path: Path) -> None:
    results = ResultsFile(tmp_path)
    assert "No runs yet" in index(results)


def test_a_password_in_an_address_is_covered(results: ResultsFile) -> None:
    add(results, "open", 4, url="http://user:hunter2@c")
    assert "hunter2" not in index(results)
