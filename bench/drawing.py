"""Time to draw a report and to load its page: six levels of 500 requests each.

    python -m bench.drawing [REPETITIONS]

Drawing is everything: reading the results file, each plot as SVG and PNG, the page, the printable summary. Imports, and
the work that is done once while a flow measures (starting and bundling Vega), are printed separately.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from shapebench.analysis.measured_level import summarise_level
from shapebench.results import database
from tests.browser.chromium import ARGUMENTS, CHROMIUM, until
from tests.level_sample import RUN_ID, closed_loop, level, run_tables

LEVELS, REQUESTS = (1, 2, 4, 8, 16, 32), 500


def main() -> None:
    """Print medians, in seconds, and sizes."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    begun_s = time.perf_counter()
    from shapebench.report.build import build_report
    from shapebench.report.pages.kit import warm_up

    print(f"imports: {time.perf_counter() - begun_s:.2f} s")
    begun_s = time.perf_counter()
    warm_up()
    print(f"once: {time.perf_counter() - begun_s:.2f} s")
    with tempfile.TemporaryDirectory() as scratch:
        stored(Path(scratch))
        took_s = [timed(lambda: build_report(Path(scratch), RUN_ID)) for _ in range(repetitions)]
        page = build_report(Path(scratch), RUN_ID)
        pictures = len([*page.parent.glob("*.png")])
        print(f"drawing: {statistics.median(took_s):.2f} s ({pictures} plots, page {page.stat().st_size / 1e6:.2f} MB)")
        loaded(page, repetitions)


def stored(data: Path) -> None:
    levels = [
        summarise_level(level(data, n, closed_loop(n, requests_each=-(-REQUESTS // n)), planned_requests=REQUESTS))
        for n in LEVELS
    ]
    database.load(data, RUN_ID, run_tables(data, levels=levels))


def timed(what: Callable[[], object]) -> float:
    begun_s = time.perf_counter()
    what()
    return time.perf_counter() - begun_s


def loaded(report: Path, repetitions: int) -> None:
    """Time in Chromium until the page is loaded, until both plots at the top are drawn, and until all are."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        found = []
        for _ in range(repetitions):
            with browser.new_page(viewport={"width": 1200, "height": 900}) as page:
                found.append(moments(page, report.as_uri()))
        browser.close()
    for what, times_s in zip(("loaded", "both plots at the top", "all plots"), zip(*found, strict=True), strict=True):
        print(f"{what}: {statistics.median(times_s):.2f} s")


def moments(page: Page, address: str) -> tuple[float, float, float]:
    page.goto(address)
    load_s = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd / 1000")
    return load_s, drawn_s(page, "#throughput-query, #throughput-ttft"), drawn_s(page, ".plot")


def drawn_s(page: Page, plots: str) -> float:
    """Measure the time from the request of the page until those of these plots are drawn that are not collapsed."""
    is_drawn = "(plot) => !plot.checkVisibility() || plot.querySelector('.live svg')"
    until(page, f"[...document.querySelectorAll('{plots}')].every({is_drawn})")
    now_s: float = page.evaluate("performance.now() / 1000")
    return now_s


if __name__ == "__main__":
    main()
