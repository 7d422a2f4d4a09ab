"""The deployments ad-hoc and shapes in the Prefect UI, as people use it: a real Chromium, a real server and a worker.

SCREENSHOTS=docs keeps the pictures that docs/operating.md shows.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from shapebench.results import database
from tests.browser.chromium import needs_chromium
from tests.conftest import MODEL, BroughtUp
from tests.flow_runs import set_state

FINISHES_WITHIN_MS = 240_000

pytestmark = [pytest.mark.nightly, pytest.mark.slow, *needs_chromium]


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """What the pages of all tests share: a cache, so that the UI is fetched once."""
    with browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light") as context:
        context.set_default_timeout(30_000)
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A new page for each try of a test: none begins where another was left."""
    with context.new_page() as page:
        yield page


def keep(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        page.wait_for_timeout(1500)  # until nothing moves any more
        page.screenshot(path=Path(folder) / f"prefect-{name}.png")


@pytest.fixture(scope="module")
def untouched(context: BrowserContext, brought_up: BroughtUp) -> Iterator[Page]:
    """The form of a custom run, by the way that people go, for tests that only look at it."""
    with context.new_page() as page:
        opened(page, brought_up, "ad-hoc")
        expect(page.get_by_label("URL", exact=True)).to_be_visible()
        keep(page, "form")
        yield page


@pytest.fixture
def form(page: Page, untouched: Page) -> Page:
    """A form to fill in."""
    return shown(page, untouched.url)


def shown(page: Page, address: str) -> Page:
    page.goto(address)
    expect(page.get_by_label("URL", exact=True)).to_be_visible()
    return page


def opened(page: Page, brought_up: BroughtUp, deployment: str) -> None:
    page.goto(brought_up.url)
    page.get_by_role("link", name="Deployments").first.click()
    expect(page.get_by_role("link", name=deployment)).to_be_visible()
    keep(page, "deployments")
    page.get_by_role("link", name=deployment).first.click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Custom run").click()


def levels(form: Page) -> Locator:
    """The rows of the only list in the form."""
    return form.get_by_label("Drag to reorder").locator("xpath=..")


def set_levels(form: Page, *wanted: int) -> None:
    rows = levels(form)
    expect(rows).to_have_count(6)
    for left in range(5, len(wanted) - 1, -1):
        rows.last.get_by_role("button", name="Open menu").click()
        form.get_by_role("menuitem", name="Delete").click()
        expect(rows).to_have_count(left)
    for row, level in zip(rows.all(), wanted, strict=True):
        row.get_by_role("spinbutton").fill(str(level))


def fill(form: Page, **values: str) -> None:
    for name, value in values.items():
        form.get_by_label(re.compile(rf"^{name.replace('_', ' ')}( \(Optional\))?$")).first.fill(value)


def submit(form: Page) -> None:
    form.get_by_role("button", name="Submit").click()


def submit_until_accepted(form: Page) -> None:
    """Submit a form that Prefect is still validating: it ignores clicks then."""
    for _ in range(5):
        submit(form)
        with suppress(AssertionError):
            expect(form.get_by_text("View run").first).to_be_visible(timeout=10_000)
            return
    pytest.fail("the form was not accepted")


def runs(brought_up: BroughtUp) -> int:
    return int(httpx.post(f"{brought_up.api}/flow_runs/count", json={}).json())


GROUPS = {
    "Endpoint": "The server under test.",
    "Workload": "The content of each request",
    "Load": "The load profile: concurrency levels",
    "Limits": "The limits that users accept",
    "Publish": "Destinations of the report",
}


@pytest.mark.parametrize("group", GROUPS)
def test_the_fields_are_grouped_with_a_title_and_help(untouched: Page, group: str) -> None:
    expect(untouched.get_by_text(re.compile(rf"^{group}( \(Optional\))?$")).first).to_be_visible()
    expect(untouched.get_by_text(GROUPS[group]).first).to_be_visible()


def test_what_may_be_left_empty_is_one_empty_input(untouched: Page) -> None:
    expect(untouched.get_by_label("Duration of each level (s)")).to_have_value("")


def test_the_form_shows_the_defaults(untouched: Page) -> None:
    expect(untouched.get_by_label("Warm-up requests for each stream")).to_have_value("2")
    inputs = levels(untouched).get_by_role("spinbutton")
    assert inputs.evaluate_all("all => all.map(input => input.value)") == ["1", "2", "4", "8", "16", "32"]


def test_no_parameter_of_a_form_is_a_choice_between_types(untouched: Page) -> None:
    """Those left are parts that a run may do without, and a yes or no that may be left open."""
    tabs = untouched.get_by_role("tab").all_inner_texts()
    assert [tab for tab in tabs if tab in ("str", "int", "float", "bool", "dict")] == []


def test_a_level_out_of_bounds_is_refused_in_the_form(form: Page, brought_up: BroughtUp) -> None:
    before = runs(brought_up)
    set_levels(form, 1, 0)
    submit(form)
    wrong = levels(form).nth(1).get_by_role("spinbutton")
    assert wrong.evaluate("input => input.validationMessage") == "Value must be greater than or equal to 1."
    assert runs(brought_up) == before


def test_a_wrong_address_is_refused_by_the_name_of_its_field(form: Page, brought_up: BroughtUp) -> None:
    before = runs(brought_up)
    fill(form, URL="127.0.0.1:8000")
    submit(form)
    expect(form.get_by_text("Validation failed for field 'spec.endpoint.url'")).to_be_visible()
    beside = form.locator("p.text-destructive")
    expect(beside).to_have_text("'127.0.0.1:8000' does not match '^https?://'")
    beside.scroll_into_view_if_needed()
    keep(form, "refused")
    assert runs(brought_up) == before


def test_after_a_refusal_the_right_value_is_taken(form: Page, brought_up: BroughtUp) -> None:
    fill(form, URL="127.0.0.1:8000")
    submit(form)
    expect(form.locator("p.text-destructive")).to_be_visible()
    fill(form, URL=NOBODY)
    submit_until_accepted(form)
    expect(form.locator("p.text-destructive")).to_have_count(0)
    assert parameters_of_started(form, brought_up)["spec"]["endpoint"]["url"] == NOBODY


NOBODY = "http://127.0.0.1:1"  # serves there


def parameters_of_started(form: Page, brought_up: BroughtUp) -> Any:
    """What a form that was accepted has sent; its run, which could measure nothing, is cancelled."""
    form.get_by_text("View run").first.click()
    form.wait_for_url("**/runs/flow-run/**")
    run = f"{brought_up.api}/flow_runs/{form.url.partition('/flow-run/')[2].partition('?')[0]}"
    given = httpx.get(run).json()["parameters"]
    set_state(run, "CANCELLED", force=True)
    return given


@dataclass(frozen=True)
class Started:
    """A run that was started in the form: the address of its page, and its data folder."""

    address: str
    data: Path


@pytest.fixture(scope="module")
def started(
    context: BrowserContext, untouched: Page, simulator: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Started]:
    data = tmp_path_factory.mktemp("data")
    with context.new_page() as page:
        form = shown(page, untouched.url)
        set_levels(form, 1, 3)
        fill(form, URL=simulator, Model=MODEL, Shape="a simulated shape", Data_folder=str(data))
        fill(form, Requests_for_each_stream="8")
        form.get_by_label("Weights (bytes)").fill("")
        levels(form).first.scroll_into_view_if_needed()
        keep(form, "levels")
        submit_until_accepted(form)
        form.get_by_text("View run").first.click()
        form.wait_for_url("**/runs/flow-run/**")
        yield Started(form.url, data)


def test_a_run_is_started_in_the_form_and_seen_to_finish(page: Page, started: Started) -> None:
    page.goto(started.address)
    expect(page.get_by_role("tab", name="Logs")).to_be_visible()
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible(timeout=FINISHES_WITHIN_MS)
    keep(page, "finished")
    stored = database.query(started.data, "SELECT concurrency FROM level_summary ORDER BY concurrency")
    assert stored["concurrency"].to_pylist() == [1, 3]  # the levels of the form


def test_the_report_is_reached_from_the_page_of_the_run(page: Page, started: Started) -> None:
    """By the artifact that says where it is: a file, to which no page of a server may lead a browser by itself."""
    page.goto(started.address)
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible(timeout=FINISHES_WITHIN_MS)
    page.get_by_role("tab", name="Artifacts").click()
    page.locator("a[href*='/artifacts/']", has_text="report-").first.click()  # not its task, which the logs link to
    page.wait_for_url("**/artifacts/**")
    [report] = started.data.glob("published/*/index.html")
    said = page.get_by_text(report.as_uri()).first
    newest = page.get_by_role("link", name=re.compile(r"^[0-9a-f]{8}$")).first
    expect(said.or_(newest).first).to_be_visible()  # the artifact, or the list of those with its key
    if not said.is_visible():
        newest.click()
    expect(said).to_be_visible()
    page.goto(report.as_uri())
    expect(page.get_by_text("concurrent users").first).to_be_visible()


@pytest.fixture
def choice(page: Page, brought_up: BroughtUp) -> Page:
    """The form of a choice, with two endpoints, the second of which has no address."""
    opened(page, brought_up, "shapes")
    for number, shape in enumerate(("VM.GPU.A10.1", "BM.GPU.L40S.4")):
        page.get_by_role("button", name="Add item").first.click()
        page.get_by_label("Model", exact=True).nth(number).fill(MODEL)
        page.get_by_label("Shape (Optional)").nth(number).fill(shape)
    page.get_by_label("URL", exact=True).first.fill("http://127.0.0.1:1")
    page.get_by_label("Users (Optional)").fill("500")
    return page


def test_a_choice_with_half_an_endpoint_is_refused_beside_its_field(choice: Page, brought_up: BroughtUp) -> None:
    before = runs(brought_up)
    submit(choice)
    expect(choice.locator("p.text-destructive").first).to_have_text("'url' is a required property")
    assert runs(brought_up) == before


def test_a_choice_is_started_in_the_form(choice: Page, brought_up: BroughtUp) -> None:
    choice.get_by_label("URL", exact=True).nth(1).fill("http://127.0.0.1:2")
    choice.get_by_label("URL", exact=True).first.scroll_into_view_if_needed()
    keep(choice, "shapes")
    submit_until_accepted(choice)
    given = parameters_of_started(choice, brought_up)["choice"]
    assert [(one["url"], one["shape"]) for one in given["endpoints"]] == [
        ("http://127.0.0.1:1", "VM.GPU.A10.1"),
        ("http://127.0.0.1:2", "BM.GPU.L40S.4"),
    ]
    assert given["users"] == 500
