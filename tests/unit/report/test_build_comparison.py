"""Runs out of a results file, side by side on a page."""

import re
from pathlib import Path
from typing import Any

import pytest

from shapebench.report.build_comparison import CompareError, Comparison, ComparisonRequest, compare, find_runs
from shapebench.runs.run_file import RunNotFoundError
from tests.examples import nightly_but
from tests.unit.results.sql.results_file import ResultsFile

LEVEL = {"ttft_s_mean": 0.1, "ttft_s_p95": 0.2, "ttft_s_max": 0.3, "query_tokens_per_s_mean": 40.0}
HOSTILE = "</script><script>alert(1)</script>\"'<img src=x onerror=alert(2)>{{ 7 * 7 }}"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> ResultsFile:
    """Two runs on one shape, and one on another that suits one user only."""
    found = ResultsFile(tmp_path_factory.mktemp("stored"))
    for day, (run_id, shape) in enumerate((("20260701-a", "A10"), ("20260702-b", "A10"), ("20260703-c", "H100"))):
        found.run(run_id, day, shape=shape)
        for concurrency in (1, 2, 4):
            slow = {"query_tokens_per_s_mean": 5.0} if shape == "H100" and concurrency > 1 else {}
            precise = {"ttft_precision": 0.01, "steady_tokens_per_s": 40.0, "throughput_precision": 0.01}
            found.level(run_id, concurrency, **{**LEVEL, **slow, **precise, "system_tokens_per_s": 40.0 * concurrency})
    found.ask("SELECT 1")
    return found


@pytest.fixture
def drawn(stored: ResultsFile, tmp_path: Path) -> ResultsFile:
    """Those runs, whose pages have their pictures."""
    return stored.copy_to(tmp_path)


@pytest.fixture
def results(drawn: ResultsFile, blank: None) -> ResultsFile:
    """Those runs, whose pages have blank pictures."""
    return drawn


def compared(results: ResultsFile, *names: str, view: str | None = None, **more: Any) -> Comparison:
    return compare(ComparisonRequest(results.data, find_runs(results.data, names), **more), view)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("names", "view"),
    [
        (("20260701-a",), "history"),
        (("20260701-a", "20260702-b"), "changes"),
        (("20260701-a", "20260703-c"), "shapes"),
        (("20260701-a", "20260702-b", "20260703-c"), "shapes"),
    ],
)
def test_runs_are_asked_what_one_asks_of_such_runs(results: ResultsFile, names: tuple[str, ...], view: str) -> None:
    assert compared(results, *names).answer["view"] == view


def test_a_run_may_be_named_by_its_beginning(results: ResultsFile) -> None:
    assert [run["run_id"] for run in find_runs(results.data, ["20260702"])] == ["20260702-b"]


def test_all_names_that_are_wrong_are_listed_at_once(results: ResultsFile) -> None:
    with pytest.raises(RunNotFoundError) as refused:
        find_runs(results.data, ["2026", "nope"])
    assert "3 runs begin with 2026" in str(refused.value)
    assert "There is no run nope" in str(refused.value)


def test_an_empty_name_is_no_beginning(results: ResultsFile) -> None:
    with pytest.raises(RunNotFoundError):
        find_runs(results.data, [""])


def test_the_same_runs_have_one_page(results: ResultsFile) -> None:
    pages = [compared(results, "20260701-a", "20260703-c").page for _ in range(2)]
    assert pages[0] == pages[1]


@pytest.mark.nightly
def test_other_runs_have_another_page(results: ResultsFile) -> None:
    assert compared(results, "20260701-a", "20260703-c").page != compared(results, "20260702-b", "20260703-c").page


def test_two_runs_that_are_the_same_are_said_to_be(results: ResultsFile) -> None:
    assert compared(results, "20260701-a", "20260702-b").answer["headline"] == "Nothing changed by more than 5%"


def test_what_changed_is_asked_of_two_runs(results: ResultsFile) -> None:
    with pytest.raises(CompareError, match="two runs, not 1"):
        compared(results, "20260701-a", view="changes")


def test_the_machine_that_suits_more_users_ranks_first(results: ResultsFile) -> None:
    ranks = compared(results, "20260703-c", "20260701-a").answer["ranking"]
    assert [(rank["shape"], rank["greatest"], rank["refused"]) for rank in ranks] == [("A10", 4, None), ("H100", 1, 2)]


def test_prices_and_users_make_a_bill(results: ResultsFile) -> None:
    answer = compared(results, "20260703-c", "20260701-a", prices={"A10": 2.0, "H100": 0.1}, users=8).answer
    assert answer["headline"] == "H100 is the cheapest that meets the SLOs: 8 for 8 users, $0.80 per hour"


def test_a_history_has_all_runs_of_the_endpoint(results: ResultsFile) -> None:
    page = compared(results, "20260702-b").page.read_text(encoding="utf-8")
    assert {name for name in ("20260701-a", "20260702-b", "20260703-c") if name in page} == {"20260701-a", "20260702-b"}


def test_a_run_that_is_worse_than_those_before_is_marked(results: ResultsFile) -> None:
    for day, change in enumerate((0.0, 0.001, -0.001, 0.002, 3.0), start=10):
        results.run(f"later-{day}", day)
        results.level(f"later-{day}", 1, **{**LEVEL, "ttft_s_mean": 0.1 + change, "system_tokens_per_s": 40.0})
    results.ask("SELECT 1")
    answer = compared(results, "later-14").answer
    assert [(found["concurrency"], found["metric"], found["stat"]) for found in answer["worse"]] == [
        (1, "ttft_s", "mean")
    ]
    assert answer["headline"].startswith("Worse than the runs before: ")


def test_each_plot_is_there_as_a_picture(drawn: ResultsFile) -> None:
    folder = compared(drawn, "20260703-c", "20260701-a", prices={"A10": 2.0}).page.parent
    names = {"throughput-query", "throughput-ttft", "pareto", "cost-users"}
    assert {file.name for file in folder.iterdir()} == {
        "index.html",
        *(f"{name}.{ending}" for name in names for ending in ("png", "svg")),
    }


@pytest.mark.parametrize("view", nightly_but(["changes", "shapes", "history"], "shapes"))
def test_hostile_names_change_only_the_text(results: ResultsFile, view: str) -> None:
    names = ("evil-1", "evil-2")
    for day, run_id in enumerate(names):
        results.run(run_id, day, model=HOSTILE, shape=HOSTILE, url=HOSTILE, workload=HOSTILE, headline=HOSTILE)
        results.level(run_id, 1, **LEVEL, system_tokens_per_s=40.0)
    results.ask("SELECT 1")
    ordinary = compared(results, "20260701-a", "20260702-b", view=view).page.read_text(encoding="utf-8")
    page = compared(results, *names, view=view).page.read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert len(re.findall("<script", page)) == len(re.findall("<script", ordinary))


@pytest.mark.parametrize("view", nightly_but(["changes", "shapes", "history"], "shapes"))
def test_a_page_names_no_address_but_its_own_pictures(results: ResultsFile, view: str) -> None:
    page = compared(results, "20260701-a", "20260702-b", view=view).page
    text = re.sub(r"<script>.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    addresses = re.findall(r"""(?:src|href)=["']([^"']+)""", text)
    assert all(way.startswith("data:") or (page.parent / way).exists() for way in addresses)
