"""Where Chromium is, and how it is started."""

import time
from pathlib import Path

import pytest
from playwright.sync_api import Page

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
needs_chromium = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is missing; type: sudo apt-get install chromium"),
]


def until(page: Page, condition: str, within_s: float = 30) -> None:
    """Wait until it is so; Playwright's own way needs eval, which the pages' policy forbids."""
    deadline_s = time.monotonic() + within_s
    while not page.evaluate(condition):
        assert time.monotonic() < deadline_s, f"not within {within_s} s: {condition}"
        page.wait_for_timeout(5)
