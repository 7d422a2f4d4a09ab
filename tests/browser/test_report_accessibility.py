"""The page for everybody: what axe-core finds wrong with it, in light, in the dark and on a phone."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from shapebench.report.pages.run import write
from tests.browser.chromium import needs_chromium
from tests.report_sample import failures, finding, level, sample, whole

GRAVE = ("serious", "critical")
VIEWS = {"light": (1200, "light"), "dark": (1200, "dark"), "phone": (360, "light"), "phone in the dark": (360, "dark")}

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """With all that a page can have: levels of each verdict, errors, doubts, the server's account."""
    verdicts = ("valid", "suspect", "invalid")
    rows = [{**level(at), "verdict": verdict, "failed": 5} for at, verdict in enumerate(verdicts)]
    content = whole(sample(rows, [finding(1), *[finding(2, passed=False)] * 6], verdict="suspect"))
    failed = replace(content.detail, errors=failures((1, "timeout", 5), (2, "http 503", 3)))
    account = content.levels.assign(server_ttft_s=0.04, running_requests_max=4)
    return write(replace(content, detail=failed, levels=account), tmp_path_factory.mktemp("report")).as_uri()


NIGHTLY = ("light", "phone in the dark")  # the others show each width and each scheme once


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.nightly] if name in NIGHTLY else []) for name in VIEWS],
)
def page(browser: Browser, report: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    width, scheme = VIEWS[request.param]
    with browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme) as page:
        page.goto(report)
        page.evaluate("document.querySelectorAll('details').forEach((part) => part.toggleAttribute('open', true))")
        expect(page.locator(".plot:visible .live svg")).to_have_count(page.locator(".plot:visible").count())
        yield page


def test_axe_finds_nothing_serious(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in GRAVE] == []


@pytest.mark.nightly
def test_every_control_can_be_reached_by_the_keyboard(page: Page) -> None:
    page.locator("body").click(position={"x": 1, "y": 1})
    controls = page.locator("a:visible, button:visible, summary:visible, input:checked:visible, [tabindex='0']:visible")
    reached: set[str] = set()
    for _ in range(controls.count() + 5):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.outerHTML.slice(0, 200)"))
    assert {html[:200] for html in controls.evaluate_all("all => all.map(one => one.outerHTML)")} <= reached


@pytest.mark.nightly
def test_what_is_focused_is_to_be_seen(page: Page) -> None:
    page.locator("body").click(position={"x": 1, "y": 1})
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
