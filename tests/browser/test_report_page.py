"""The page in a real Chromium, opened from the file system."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from shapebench.report.charts.figure2 import QUERY, TTFT, ChartEntry
from shapebench.report.charts.theme import PALETTES
from shapebench.report.pages.run import write
from tests.browser.chromium import needs_chromium, until
from tests.report_sample import LEVELS, level, sample, unmeasured, whole

POINT = '[aria-roledescription="point"]'

HOSTILE = "</script><script>alert(1)</script>\"'<img src=x onerror=alert(2)>"

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(whole(sample()), tmp_path_factory.mktemp("report")).as_uri()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="light") as page:
        yield page


@pytest.fixture(scope="module")
def seen(browser: Browser, report: str) -> Iterator[Page]:
    """The page, for tests that only look at it, or point at it."""
    with browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="light") as page:
        yield show(page, report)


AT_THE_TOP = [QUERY, TTFT]  # the logarithmic one is drawn when it is asked for


def show(page: Page, address: str) -> Page:
    """With all plots drawn that have a place."""
    page.goto(address)
    shown = page.locator(".plot:visible")
    expect(page.locator(".plot:visible .live svg")).to_have_count(shown.count())
    return page


def test_the_page_is_silent_and_asks_nothing_of_anyone(page: Page, report: str) -> None:
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(error.message))
    page.on("request", lambda request: asked.append(request.url))
    show(page, report)
    assert said == []
    folded = page.locator("details:not([open]) > summary")
    while folded.count():
        folded.first.click()
    page.get_by_role("radio", name="logarithmic").first.check()
    expect(page.locator("#throughput-ttft-log .live svg")).to_be_visible()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [report]


@pytest.mark.parametrize("entry", AT_THE_TOP, ids=lambda entry: entry.name)
def test_each_plot_has_a_point_for_each_level(seen: Page, entry: ChartEntry) -> None:
    expect(seen.locator(f"#{entry.name} {POINT}")).to_have_count(len(LEVELS))


def test_hovering_over_a_point_shows_its_numbers(seen: Page) -> None:
    seen.locator(f"#throughput-query {POINT}").nth(3).hover()
    expect(seen.locator("#vg-tooltip-element")).to_be_visible()
    expect(seen.locator("#vg-tooltip-element")).to_contain_text("concurrent users8")


def test_the_plots_follow_the_colour_scheme_while_the_page_is_open(page: Page, report: str) -> None:
    point = show(page, report).locator(f"#throughput-ttft {POINT}").first
    expect(point).to_have_attribute("fill", PALETTES["light"]["valid"])
    page.emulate_media(color_scheme="dark")
    expect(point).to_have_attribute("fill", PALETTES["dark"]["valid"])
    expect(page.locator("body")).to_have_css("background-color", "rgb(21, 25, 30)")


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_the_page_fits_the_width_of_the_screen(page: Page, report: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert show(page, report).evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.nightly
def test_a_plot_takes_the_new_width_when_the_window_changes(page: Page, report: str) -> None:
    plot = show(page, report).locator("#throughput-query .live svg")
    page.set_viewport_size({"width": 360, "height": 800})
    until(page, "document.querySelector('#throughput-query .live svg').clientWidth < 360")
    expect(plot).to_be_visible()


@pytest.mark.nightly
def test_a_hostile_model_name_is_only_text(page: Page, tmp_path: Path) -> None:
    alerts: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        alerts.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    show(page, write(sample(model=HOSTILE), tmp_path).as_uri())
    assert page.locator("h1").text_content() == f"{HOSTILE} on VM.GPU.A10.1"
    assert alerts == []


def test_the_policy_runs_no_script_but_the_pages_own(page: Page, report: str) -> None:
    show(page, report).evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.strange = 1'}))"
    )
    assert page.evaluate("window.strange") is None


def test_a_printed_page_shows_light_pictures_and_what_was_folded_away(page: Page, report: str) -> None:
    page.emulate_media(color_scheme="dark")
    show(page, report)
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.locator("#throughput-query .still")).to_be_visible()
    expect(page.locator("#throughput-query .live")).to_be_hidden()
    expect(page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("details:not([open])")).to_have_count(0)


@pytest.mark.nightly
def test_the_page_prints_to_pdf(page: Page, report: str) -> None:
    assert show(page, report).pdf().startswith(b"%PDF")


def test_without_scripts_the_still_pictures_stand(browser: Browser, report: str) -> None:
    with browser.new_page(java_script_enabled=False) as page:
        page.goto(report)
        for entry in AT_THE_TOP:
            expect(page.locator(f"#{entry.name} .still")).to_be_visible()
        expect(page.locator(".legend").first).to_be_hidden()


@pytest.mark.nightly
def test_a_run_without_numbers_is_shown_without_an_error(page: Page, tmp_path: Path) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    show(page, write(sample([unmeasured(0)], []), tmp_path).as_uri())
    assert said == []
    expect(page.locator(POINT)).to_have_count(0)


@pytest.mark.nightly
def test_levels_that_are_not_valid_are_named_in_a_legend(page: Page, tmp_path: Path) -> None:
    rows = [level(0), {**level(1), "verdict": "suspect"}, {**level(2), "verdict": "invalid"}]
    show(page, write(sample(rows), tmp_path).as_uri())
    legend = page.get_by_role("group", name="Show only some: Measurement")
    expect(legend.get_by_role("button")).to_have_text(["valid", "suspect", "invalid"])
    expect(page.locator("#throughput-query .role-legend")).to_have_count(0)
