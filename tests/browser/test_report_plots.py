"""The page's plots in a real Chromium: what a person can do with them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Page, expect

from shapebench.report.pages.run import write
from tests.browser.chromium import needs_chromium, until
from tests.report_sample import failures, level, sample, whole

POINT = '[aria-roledescription="point"]'

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of three levels, one of each verdict, some of whose requests failed."""
    verdicts = ("valid", "suspect", "invalid")
    rows = [{**level(at), "verdict": verdict, "failed": 5} for at, verdict in enumerate(verdicts)]
    content = whole(sample(rows))
    failed = replace(content.detail, errors=failures((1, "timeout", 5), (2, "http 503", 3), (2, "timeout", 2)))
    return write(replace(content, detail=failed), tmp_path_factory.mktemp("report")).as_uri()


@pytest.fixture
def page(browser: Browser, report: str) -> Iterator[Page]:
    """A page to do something with."""
    with opened(browser, report) as page:
        yield page


@pytest.fixture(scope="module")
def seen(browser: Browser, report: str) -> Iterator[Page]:
    """A page that tests only look at, or point at."""
    with opened(browser, report) as page:
        yield page


@contextmanager
def opened(browser: Browser, report: str) -> Iterator[Page]:
    with browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="light") as page:
        page.goto(report)
        expect(page.locator("#timeline-0004 .live svg")).to_be_visible()
        yield page


def press(page: Page, group: str, name: str) -> None:
    page.get_by_role("group", name=group).first.get_by_role("button", name=name, exact=True).click()


@pytest.mark.parametrize(
    ("plot", "marks"),
    [
        ("scaling", 3),
        ("ttft-percentiles", 3 * 4),
        ("inter-token-percentiles", 3 * 4),
    ],
)
def test_each_plot_has_its_points(seen: Page, plot: str, marks: int) -> None:
    expect(seen.locator(f"#{plot} {POINT}")).to_have_count(marks)


@pytest.mark.nightly
@pytest.mark.parametrize("plot", ["ttft-distribution", "e2e-distribution", "tpot-distribution"])
def test_each_distribution_has_a_line_for_each_level(seen: Page, plot: str) -> None:
    expect(seen.locator(f"#{plot} .mark-line path")).to_have_count(3)


def test_each_kind_of_error_at_each_level_is_a_bar(seen: Page) -> None:
    expect(seen.locator("#errors .mark-rect.role-mark path")).to_have_count(3)


def test_a_level_over_time_has_a_line_for_each_number(seen: Page) -> None:
    expect(seen.locator("#timeline-0004 .mark-line path")).to_have_count(5)


def test_a_level_that_is_unfolded_is_drawn(page: Page) -> None:
    expect(page.locator("#timeline-0001 .live svg")).to_have_count(0)
    page.get_by_text("1 concurrent user, valid").click()
    expect(page.locator("#timeline-0001 .live svg")).to_be_visible()


def test_the_axis_of_ttft_can_be_made_logarithmic(page: Page) -> None:
    page.get_by_role("radio", name="logarithmic").first.check()
    expect(page.locator("#throughput-ttft")).to_be_hidden()
    expect(page.locator(f"#throughput-ttft-log {POINT}")).to_have_count(3)
    labels = page.locator("#throughput-ttft-log .role-axis-label").nth(1).locator("text")
    assert "50" in labels.all_text_contents()


@pytest.mark.nightly
def test_the_axis_can_be_chosen_by_the_keyboard_alone(page: Page) -> None:
    page.get_by_role("radio", name="linear").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(f"#throughput-ttft-log {POINT}")).to_have_count(3)


@pytest.mark.nightly
def test_both_plots_of_percentiles_change_their_axes_together(page: Page) -> None:
    page.locator("#percentiles ~ .controls").get_by_role("radio", name="logarithmic").check()
    for plot in ("ttft-percentiles-log", "inter-token-percentiles-log"):
        expect(page.locator(f"#{plot} {POINT}")).to_have_count(3 * 4)


def test_a_button_of_a_legend_filters_all_plots_that_it_is_of(page: Page) -> None:
    press(page, "Measurement", "valid")
    for plot in ("throughput-query", "throughput-ttft"):
        expect(page.locator(f"#{plot} {POINT}")).to_have_count(1)


def test_a_second_button_adds_and_pressing_both_again_shows_all(page: Page) -> None:
    for name, left in (("p50", 3), ("p99", 6), ("p50", 3), ("p99", 12)):
        press(page, "Percentile", name)
        expect(page.locator(f"#ttft-percentiles {POINT}")).to_have_count(left)


@pytest.mark.nightly
def test_a_legend_can_be_used_by_the_keyboard_alone(page: Page) -> None:
    button = page.get_by_role("group", name="Concurrent users").get_by_role("button", name="2", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#e2e-distribution .mark-line path")).to_have_count(1)


@pytest.mark.nightly
def test_what_was_chosen_holds_for_a_plot_that_is_drawn_later(page: Page) -> None:
    press(page, "Measurement", "valid")
    page.get_by_role("radio", name="logarithmic").first.check()
    expect(page.locator(f"#throughput-ttft-log {POINT}")).to_have_count(1)


@pytest.mark.parametrize(
    ("mark", "says"),
    [
        ("#scaling .mark-symbol.role-mark path >> nth=1", "scaling efficiency"),
        ("#ttft-percentiles .mark-symbol.role-mark path >> nth=0", "percentilep50"),
        ("#ttft-distribution .mark-symbol.role-mark path >> nth=-1", "latency, ms"),
        ("#timeline-0004 .mark-rect.role-mark path >> nth=5", "waiting (server)"),
        ("#errors .mark-rect.role-mark path >> nth=0", "kind"),
    ],
)
def test_pointing_at_a_mark_shows_its_numbers(seen: Page, mark: str, says: str) -> None:
    seen.locator(mark).hover(force=True)
    expect(seen.locator("#vg-tooltip-element")).to_be_visible()
    expect(seen.locator("#vg-tooltip-element")).to_contain_text(says)


@pytest.mark.nightly
@pytest.mark.parametrize("plot", ["scaling", "timeline-0004"])
def test_a_plot_takes_the_width_of_its_place(page: Page, plot: str) -> None:
    page.set_viewport_size({"width": 360, "height": 800})
    until(page, f"document.querySelector('#{plot} .live svg').clientWidth < 340")
    place = page.locator(f"#{plot} .live")
    until(
        page,
        f"document.querySelector('#{plot} .live').clientWidth -"
        f" document.querySelector('#{plot} .live svg').clientWidth < 8",
    )
    expect(place).to_be_visible()


@pytest.mark.nightly
def test_a_plot_that_was_hidden_while_the_window_changed_fits_when_it_is_shown(page: Page) -> None:
    page.get_by_role("radio", name="logarithmic").first.check()
    expect(page.locator(f"#throughput-ttft-log {POINT}")).to_have_count(3)
    page.set_viewport_size({"width": 400, "height": 800})
    page.get_by_role("radio", name="linear").first.check()
    until(page, "document.querySelector('#throughput-ttft .live svg').clientWidth > 300")
    expect(page.locator(f"#throughput-ttft {POINT}")).to_have_count(3)
