"""A run's artifacts in both of Prefect's own UIs, in a real Chromium: whatever the model is called, it is text."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from cli.local_prefect.own_server import free_port
from flows.prefect_settings import SETTINGS
from shapebench.analysis.conclusion import Conclusion
from shapebench.report.markdown import Picture, verdict_artifact
from tests import level_sample
from tests.browser.chromium import needs_chromium
from tests.conftest import prefect_home_in, wait_until_answers

pytestmark = [pytest.mark.nightly, pytest.mark.slow, *needs_chromium]

HOSTILE = r'<script>alert(1)</script>|`x`"q"[a](javascript:b)**c**<img src=http://evil.example/p>'
WAYS_OUT = r" http://evil.example www.evil.example a@evil.example ![p](http://evil.example/p) &lt; \ $x$"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"><rect width="30" height="20"/></svg>'
PATHS = {"v1": "/artifacts/artifact", "v2": "/v2/artifacts/artifact"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prefect server with its UI."""
    home, port = prefect_home_in(tmp_path_factory.mktemp("prefect")), free_port()
    environment = {**os.environ, **SETTINGS, "PREFECT_HOME": str(home), "PREFECT_SERVER_UI_API_URL": "/api"}
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until_answers(f"http://127.0.0.1:{port}/api/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def artifact(server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a verdict on a model with a hostile name."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "a.svg").write_text(SVG, encoding="utf-8")
    run = level_sample.run(folder)
    endpoint = run.spec.endpoint.model_copy(update={"model": HOSTILE, "shape": WAYS_OUT.strip()})
    attacked = replace(run, spec=run.spec.model_copy(update={"endpoint": endpoint}))
    picture = Picture.read("a", "A plot", folder / "a.svg")
    page = verdict_artifact(attacked, level_sample.verdict([]), Conclusion("Suits 2 users", ("So it is.",)), [picture])
    new = {"type": "markdown", "key": "verdict", "data": page}
    made: str = httpx.post(f"{server}/api/artifacts/", json=new).raise_for_status().json()["id"]
    return made


@pytest.fixture(scope="module")
def asked_for() -> list[str]:
    """What the page tried to fetch, and what it said in a dialog."""
    return []


@pytest.fixture(scope="module", params=PATHS)
def page(
    request: pytest.FixtureRequest, browser: Browser, server: str, artifact: str, asked_for: list[str]
) -> Iterator[Page]:
    page = browser.new_page()
    page.on("request", lambda asked: asked_for.append(asked.url))
    page.on("dialog", lambda dialog: asked_for.append(f"dialog {dialog.message}"))
    page.goto(f"{server}{PATHS[request.param]}/{artifact}")
    expect(page.get_by_role("heading", name="Suits 2 users")).to_be_visible(timeout=30_000)
    yield page
    page.close()


def test_the_name_is_shown_as_it_is(page: Page) -> None:
    shown = " ".join(page.inner_text("body").split())
    assert f"{HOSTILE} on {WAYS_OUT.strip()}" in shown


def test_it_becomes_no_link(page: Page) -> None:
    links = page.eval_on_selector_all("a", "links => links.map(link => link.href)")
    assert [link for link in links if "evil" in link or "javascript" in link] == []


def test_it_fetches_and_runs_nothing(page: Page, asked_for: list[str]) -> None:
    assert page.title()
    assert [asked for asked in asked_for if "evil" in asked or asked.startswith("dialog")] == []


def test_the_plot_is_shown(page: Page) -> None:
    plot = page.get_by_alt_text("A plot")
    expect(plot).to_be_visible()
    assert plot.evaluate("picture => picture.naturalWidth") == 30
