"""From a run to a bucket and to a colleague's browser: flows, the command line and Chromium against the look-alike."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
import yaml
from playwright.sync_api import sync_playwright
from prefect import State

from shapebench.results import database
from tests import oci_lookalike
from tests.browser.chromium import ARGUMENTS, CHROMIUM, needs_chromium
from tests.conftest import MODEL, Finished, Shell
from tests.flow_runs import logs
from tests.in_process import FlowsInProcess
from tests.oci_lookalike import ObjectStorage

pytestmark = pytest.mark.slow

DAYS = 3
LEVELS = (1, 2)


@dataclass(frozen=True)
class Published:
    """A run that a flow has published, and then somebody by hand."""

    run_id: str
    data: Path
    storage: ObjectStorage
    here: FlowsInProcess
    links_by_flow: int
    names_by_flow: set[str]
    link: dict[str, Any]  # that the first `publish` by hand showed

    @property
    def folder(self) -> str:
        return f"shapebench/{self.run_id}/"

    def publish(self, *flags: str) -> Finished:
        return self.here.run("publish", self.run_id, "--data", str(self.data), *flags)

    def uploads(self, name: str) -> int:
        """How often a file of the run has been sent."""
        return self.storage.uploads().count(self.folder + name)


def spec_file(folder: Path, url: str, storage: ObjectStorage) -> Path:
    key = oci_lookalike.new_key()
    oci_lookalike.register(storage, key)
    config_file = oci_lookalike.write_config(folder, key)
    bucket = {"bucket": "reports", "service_endpoint": storage.endpoint, "config_file": str(config_file)}
    content = {
        "endpoint": {"url": url, "model": MODEL},
        "workload": {"output_tokens": {"mean": 20, "stddev": 2}},
        "load": {"levels": list(LEVELS), "requests": 8, "calibrate": False},
        "publish": {"oci": {**bucket, "share_for_days": DAYS}, "include": ["database", "samples"]},
        "data": str(folder / "data"),
    }
    (folder / "spec.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder / "spec.yaml"


@pytest.fixture(scope="module")
def published(shell: Shell, simulator: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    here = FlowsInProcess(shell.environment, pictures=True)  # which a colleague sees
    folder = tmp_path_factory.mktemp("published")
    with oci_lookalike.running() as storage:
        done = here.run("run", str(spec_file(folder, simulator, storage)), "--json")
        assert done.code == 0, done.stderr
        run_id, data = done.json["run_id"], folder / "data"
        by_flow = len(storage.preauthenticated), set(storage.buckets["reports"])
        by_hand = here.run("publish", run_id, "--data", str(data), "--json")
        assert by_hand.code == 0, by_hand.stderr
        yield Published(run_id, data, storage, here, *by_flow, by_hand.json["link"])


@pytest.fixture(scope="module")
def link(published: Published) -> dict[str, Any]:
    return published.link


# What a flow does


def test_a_flow_sends_the_report_its_pages_and_what_the_spec_includes(published: Published) -> None:
    samples = {f"samples/{of}-{level:04}.parquet" for of in ("level", "server") for level in LEVELS}
    of_run = {"index.html", "validation/index.html", "throughput-ttft.svg", *samples}
    assert {published.folder + name for name in of_run} <= published.names_by_flow
    assert f"shapebench/{database.FILE_NAME}" in published.names_by_flow


def test_the_database_in_the_bucket_answers_queries(published: Published, tmp_path: Path) -> None:
    content = published.storage.buckets["reports"][f"shapebench/{database.FILE_NAME}"].content
    (tmp_path / "copy.duckdb").write_bytes(content)
    with duckdb.connect(str(tmp_path / "copy.duckdb"), read_only=True) as copy:
        rows = copy.sql("SELECT run_id, concurrency FROM level_summary ORDER BY ALL").fetchall()
        assert rows == [(published.run_id, level) for level in LEVELS]


def test_a_flow_makes_no_link_and_says_how_to_make_one(published: Published, prefect_server: str) -> None:
    assert published.links_by_flow == 0
    assert f"`shapebench publish {published.run_id}` creates a link to share, valid for {DAYS} days" in logs(
        prefect_server
    )


def republished(published: Published) -> State[Any]:
    """How the flow has ended."""
    from flows.republish import republish

    with published.here.surroundings():
        return republish(published.run_id, published.data, return_state=True)


def without_page(published: Published) -> int:
    """Remove the page from the bucket; gives how often it has been sent so far."""
    published.storage.buckets["reports"].pop(f"{published.folder}index.html", None)
    return published.uploads("index.html")


@pytest.mark.nightly
def test_a_flow_tries_again_where_a_single_file_failed(published: Published) -> None:
    before = without_page(published)
    published.storage.refuse(f"{published.folder}index.html", 409, "ConcurrentObjectUpdate")
    state = republished(published)
    assert state.is_completed(), state
    assert published.uploads("index.html") == before + 2
    assert f"{published.folder}index.html" in published.storage.buckets["reports"]


@pytest.mark.nightly
def test_a_flow_does_not_try_again_what_would_fail_again(published: Published) -> None:
    before = without_page(published)
    published.storage.refuse(f"{published.folder}index.html", 403, "NotAuthorized", times=2)
    state = republished(published)
    published.storage.trouble.clear()
    assert (state.is_failed(), published.uploads("index.html")) == (True, before + 1)
    assert "allow group GROUP to manage objects" in str(state.result(raise_on_failure=False))


# The command line


@pytest.mark.nightly
def test_publishing_goes_on_where_it_stopped(published: Published) -> None:
    assert published.publish().code == 0
    objects = published.storage.buckets["reports"]
    gone = sorted(name for name in objects if name.endswith(".svg"))[:3]
    for name in gone:
        del objects[name]
    published.storage.refuse(gone[1], 403, "NotAuthorized")
    stopped = published.publish()
    assert (stopped.code, "403 NotAuthorized" in stopped.stderr) == (1, True), stopped.stderr
    assert set(gone) - set(objects) == set(gone[1:])
    before = len(published.storage.uploads())
    again = published.publish()
    assert again.code == 0, again.stderr
    of_run = [name for name in published.storage.uploads()[before:] if name.startswith(published.folder)]
    assert of_run == gone[1:]


def test_what_was_sent_and_what_was_there_is_told_in_numbers(published: Published) -> None:
    files = len(published.publish().stdout.splitlines())
    done = published.publish()
    assert f"0 files sent; {files} were there already." in done.stderr
    assert "An earlier link is valid until 20" in done.stderr
    assert "/p/" not in done.stdout + done.stderr


def test_without_a_link_the_json_is_a_list_of_files(published: Published) -> None:
    files = published.publish("--json").json
    assert {"name", "url", "md5", "sent", "error"} <= set(files[0])


def test_a_link_is_shown_on_stdout_and_opens(published: Published) -> None:
    done = published.publish("--share-for-days", "2")
    url = done.stdout.splitlines()[-1]
    assert (done.code, "/p/" in url) == (0, True), done.stderr
    assert "It is shown only once" in done.stderr
    assert httpx.get(url).status_code == 200


def test_a_link_in_json_opens_the_page_and_what_it_leads_to(link: dict[str, Any]) -> None:
    for name in ("", "validation/index.html", "throughput-ttft.svg", "samples/level-0001.parquet"):
        assert httpx.get(str(httpx.URL(link["url"]).join(name))).status_code == 200


def test_a_link_does_not_open_the_database_of_all_runs(link: dict[str, Any]) -> None:
    assert httpx.get(str(httpx.URL(link["url"]).join(f"../{database.FILE_NAME}"))).status_code == 404


def test_who_asks_for_a_link_to_a_folder_is_told_that_there_is_none(published: Published, tmp_path: Path) -> None:
    run_file = published.data / "runs" / published.run_id / "run.json"
    content = json.loads(run_file.read_text(encoding="utf-8"))
    content["run"]["spec"]["publish"] = {"folder": str(tmp_path / "web")}
    elsewhere = tmp_path / "data" / "runs" / published.run_id
    elsewhere.mkdir(parents=True)
    (elsewhere / "run.json").write_text(json.dumps(content), encoding="utf-8")
    done = published.here.run("publish", published.run_id, "--data", str(tmp_path / "data"), "--share-for-days", "2")
    assert (done.code, "links can only share a report in OCI Object Storage" in done.stderr) == (1, True), done.stderr
    assert not (tmp_path / "web").exists()


# The link is a secret


def files(folder: Path) -> str:
    return "".join(file.read_bytes().decode("latin-1") for file in sorted(folder.rglob("*")) if file.is_file())


def tables(data: Path) -> str:
    """DuckDB's file is compressed: what its tables and views say, row by row."""
    listed = "SELECT table_schema || '.' || table_name AS name FROM information_schema.tables"
    names = database.query(data, listed).to_pylist()
    return "".join(str(database.query(data, f"FROM {row['name']}").to_pylist()) for row in names)


def objects(published: Published) -> str:
    return "".join(stored.content.decode("latin-1") for stored in published.storage.buckets["reports"].values())


def test_a_link_is_written_down_nowhere(
    published: Published, link: dict[str, Any], prefect_server: str, prefect_home: Path
) -> None:
    tokens = list(published.storage.preauthenticated)
    assert any(token in link["url"] for token in tokens)
    places = {
        "the data folder": (files(published.data), published.run_id),
        "the results' tables": (tables(published.data), link["link_id"]),
        "Prefect's logs": (logs(prefect_server), published.run_id),
        "Prefect's files": (files(prefect_home), published.run_id),
        "the bucket": (objects(published), published.run_id),
    }
    for place, (content, there) in places.items():
        assert there in content, f"looked in the wrong place: {place}"
        assert [token for token in tokens if token in content] == [], place


# A colleague


@needs_chromium[0]
@needs_chromium[1]
def test_a_colleagues_browser_shows_the_report_and_great_expectations_pages(link: dict[str, Any]) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        failed: list[str] = []
        page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
        page.goto(link["url"])
        assert MODEL in page.title()
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        page.goto(str(httpx.URL(link["url"]).join("validation/index.html")))
        assert "Expectation" in page.inner_text("body")
        browser.close()
    assert [url for url in failed if not url.endswith("/favicon.ico")] == []
