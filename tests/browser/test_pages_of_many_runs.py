"""Comparison pages and the site in a real Chromium, opened from the file system."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from shapebench.report.build_comparison import ComparisonRequest, compare, find_runs
from shapebench.report.build_site import build
from tests.browser.chromium import needs_chromium
from tests.examples import nightly_but
from tests.unit.results.sql.results_file import ResultsFile

pytestmark = needs_chromium

RUNS = (("20260701-a", "VM.GPU.A10.1"), ("20260702-b", "VM.GPU.A10.1"), ("20260703-c", "BM.GPU.H100.8"))
VIEWS = {"changes": 4, "shapes": 4, "history": 3}  # and how many plots each has
POINT = '.live [aria-roledescription="point"]'


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = ResultsFile(tmp_path_factory.mktemp("many"))
    for day, (run_id, shape) in enumerate(RUNS):
        results.run(run_id, day, shape=shape)
        for concurrency in (1, 2, 4, 8):
            ttft = {
                "ttft_s_mean": 0.04 + concurrency / 100,
                "ttft_s_p95": 0.1 + concurrency / 50,
                "ttft_precision": 0.02,
            }
            throughput = {
                "system_tokens_per_s": 70.0 * concurrency**0.9,
                "query_tokens_per_s_mean": 70 / concurrency**0.1,
            }
            steady = {"steady_tokens_per_s": 70.0 * concurrency**0.9, "throughput_precision": 0.01}
            results.level(
                run_id, concurrency, "suspect" if concurrency == 8 else "valid", **ttft, **throughput, **steady
            )
        (results.data / "reports" / run_id).mkdir(parents=True)
        (results.data / "reports" / run_id / "index.html").write_text(f"<title>{run_id}</title>", encoding="utf-8")
    results.ask("SELECT 1")
    return results.data


@pytest.fixture(scope="module")
def address(data: Path) -> Callable[[str], str]:
    """Of the page of this name: a view, or the site."""
    names = {
        "changes": ("20260701-a", "20260702-b"),
        "shapes": ("20260701-a", "20260703-c"),
        "history": ("20260702-b",),
    }
    prices = {"VM.GPU.A10.1": 2.0, "BM.GPU.H100.8": 10.0}
    pages = {
        view: compare(ComparisonRequest(data, find_runs(data, runs), prices), view).page for view, runs in names.items()
    }
    pages["site"] = build(data, data / "site").index
    return lambda name: pages[name].as_uri()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="light") as page:
        yield page


@pytest.mark.parametrize("name", nightly_but([*VIEWS, "site"], "changes", "site"))
def test_a_page_is_silent_and_asks_nothing_of_anyone(page: Page, address: Callable[[str], str], name: str) -> None:
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(error.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address(name))
    expect(page.locator(".live svg")).to_have_count(VIEWS.get(name, 0))
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [address(name)]


@pytest.mark.parametrize("name", nightly_but([*VIEWS, "site"], "changes", "site"))
def test_a_page_fits_a_phone(page: Page, address: Callable[[str], str], name: str) -> None:
    page.set_viewport_size({"width": 360, "height": 700})
    page.goto(address(name))
    expect(page.locator(".live svg")).to_have_count(VIEWS.get(name, 0))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_each_curve_has_a_point_for_each_level(page: Page, address: Callable[[str], str]) -> None:
    page.goto(address("shapes"))
    expect(page.locator(f"#throughput-query {POINT}")).to_have_count(8)


def test_each_level_that_is_judged_has_its_change(page: Page, address: Callable[[str], str]) -> None:
    page.goto(address("changes"))
    expect(page.locator(f"#change-ttft {POINT}")).to_have_count(4)


def test_a_history_has_a_point_for_each_run_and_level(page: Page, address: Callable[[str], str]) -> None:
    page.goto(address("history"))
    expect(page.locator(f"#history-ttft {POINT}")).to_have_count(8)


def test_a_filter_leaves_the_runs_that_it_names(page: Page, address: Callable[[str], str]) -> None:
    page.goto(address("site"))
    page.get_by_label("Shape").select_option(label="BM.GPU.H100.8")
    expect(page.locator("ol.runs > li:visible")).to_have_count(1)
    expect(page.get_by_role("status")).to_have_text("1 of 3 runs")


def test_a_filter_works_by_the_keyboard(page: Page, address: Callable[[str], str]) -> None:
    page.goto(address("site"))
    page.get_by_label("Shape").focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("status")).to_have_text("1 of 3 runs")


def test_a_card_leads_to_the_report(page: Page, address: Callable[[str], str]) -> None:
    page.goto(address("site"))
    page.get_by_role("link", name="BM.GPU.H100.8").click()
    expect(page).to_have_title("20260703-c")


def test_without_scripts_all_runs_are_listed_and_no_filter(browser: Browser, address: Callable[[str], str]) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address("site"))
        expect(page.locator("ol.runs > li:visible")).to_have_count(3)
        expect(page.locator(".filters")).to_be_hidden()
