"""What a run leaves in the Prefect UI, of a model whose name is an attack."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect import artifacts
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from cli.local_prefect.own_server import free_port
from shapebench.analysis.conclusion import Conclusion
from shapebench.load.counters import Progress
from shapebench.load.progress import notify as notify_progress
from shapebench.report.markdown import text
from shapebench.runs.records import Run
from shapebench.support.endpoint_id import endpoint_id
from shapebench.test_servers.simulator.process import running_simulator
from tasks import notify
from tasks.prefect import progress as show_progress
from tests import level_sample
from tests.conftest import Shell
from tests.in_process import FlowsInProcess

pytestmark = pytest.mark.slow

MODEL = '<script>alert(1)</script>|`x`"[a](javascript:b)**c**<img src=x onerror=alert(2)>' + "y" * 1000
SHAPE = "VM.TEST.1"
LEVELS = [1, 2]


@pytest.fixture(scope="module")
def hostile() -> Iterator[str]:
    with running_simulator("fast", settings=[f"model={MODEL}"]) as url:
        yield url


@pytest.fixture(scope="module")
def result(shell: Shell, hostile: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    where = ("--url", hostile, "--model", MODEL, "--shape", SHAPE, "--data", str(tmp_path_factory.mktemp("data")))
    here = FlowsInProcess(shell.environment, pictures=True)
    done = here.run("run", *where, "--levels", "1,2", "--requests", "24", "--no-calibrate", "--quiet", "--json")
    assert done.code == 0, done.stderr
    return done.json


def of_endpoint(prefect_server: str, url: str) -> list[dict[str, Any]]:
    """All artifacts whose keys are of this endpoint, the newest first."""
    wanted = {"key": {"like_": endpoint_id(url, MODEL, SHAPE)}}
    found = httpx.post(f"{prefect_server}/artifacts/filter", json={"artifacts": wanted, "sort": "CREATED_DESC"})
    rows: list[dict[str, Any]] = found.raise_for_status().json()
    return rows


@pytest.fixture(scope="module")
def shown(result: Any, prefect_server: str, hostile: str) -> dict[str, dict[str, Any]]:
    """What the run left, by what it is."""
    assert result["run_id"]
    of_slug = f"-{endpoint_id(hostile, MODEL, SHAPE)}"
    return {row["key"].removesuffix(of_slug): row for row in of_endpoint(prefect_server, hostile)}


@pytest.mark.nightly
def test_a_run_leaves_these(shown: dict[str, Any]) -> None:
    kinds = {name: row["type"] for name, row in shown.items()}
    assert kinds == {
        "verdict": "markdown",
        "levels": "table",
        "throughput-query": "image",
        "throughput-ttft": "image",
        "report": "markdown",
        "progress": "progress",
    }


@pytest.mark.nightly
def test_all_are_of_its_flow_run(shown: dict[str, Any], prefect_server: str) -> None:
    [flow_run_id] = {row["flow_run_id"] for row in shown.values()}
    assert httpx.get(f"{prefect_server}/flow_runs/{flow_run_id}").json()["state"]["type"] == "COMPLETED"


@pytest.mark.nightly
def test_the_verdict_is_what_the_run_came_to(shown: dict[str, Any], result: Any) -> None:
    assert shown["verdict"]["description"] == f"{result['verdict']}: {result['headline']}"
    lines = shown["verdict"]["data"].splitlines()
    assert lines[0] == f"# {result['headline']}"
    assert [f"- {text(sentence)}" for sentence in result["sentences"]] == lines[4 : 4 + len(result["sentences"])]


@pytest.mark.nightly
def test_the_verdict_shows_the_figure_without_fetching_it(shown: dict[str, Any]) -> None:
    assert shown["verdict"]["data"].count("](data:image/svg+xml;base64,") == 2
    assert "](http" not in shown["verdict"]["data"]


@pytest.mark.nightly
def test_the_models_name_is_text(shown: dict[str, Any]) -> None:
    words = " ".join(line for line in shown["verdict"]["data"].splitlines() if "](data:" not in line)
    assert r"\<script\>alert(1)\</script\>\|\`x\`" in words
    assert "y" * 200 not in words


@pytest.mark.nightly
def test_nothing_but_the_verdict_holds_a_text_of_the_server(shown: dict[str, Any]) -> None:
    told = [row["description"] + str(row["data"]) for name, row in shown.items() if name != "verdict"]
    assert [words for words in told if "alert(1)" in words] == []


@pytest.mark.nightly
def test_the_table_has_a_row_for_each_level(shown: dict[str, Any]) -> None:
    rows = httpx.Response(200, text=shown["levels"]["data"]).json()
    assert [row["Concurrent users"] for row in rows] == [str(n) for n in LEVELS]
    assert {row["Verdict"] for row in rows} <= {"valid", "suspect", "invalid"}


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["throughput-query", "throughput-ttft"])
def test_each_plot_of_the_figure_is_an_image(name: str, shown: dict[str, Any], result: Any) -> None:
    drawn = Path(result["report"]).with_name(f"{name}.svg")
    assert shown[name]["data"].startswith("data:image/svg+xml;base64,")
    assert len(shown[name]["data"]) == pytest.approx(drawn.stat().st_size * 4 / 3, rel=0.01)


@pytest.mark.nightly
def test_where_the_report_lies_is_said(shown: dict[str, Any], result: Any) -> None:
    assert text(result["report"]) in shown["report"]["data"]


@pytest.mark.nightly
def test_at_the_end_all_is_measured(shown: dict[str, Any]) -> None:
    assert (shown["progress"]["data"], shown["progress"]["description"]) == (100, "All levels measured")


@pytest.mark.nightly
def test_an_event_says_which_run_has_finished(result: Any, prefect_server: str) -> None:
    [told] = [event["payload"] for event in wait_for_events(prefect_server, result["run_id"])]
    data = Path(result["database"]).parent
    assert (told["verdict"], told["headline"], told["data"]) == (result["verdict"], result["headline"], str(data))


def wait_for_events(prefect_server: str, run_id: str) -> list[dict[str, Any]]:
    """Prefect keeps events for some seconds before they can be found."""
    labels = {"shapebench.run_id": run_id}
    wanted = {"event": {"name": ["shapebench.run.finished"]}, "resource": {"labels": labels}}
    deadline_s = time.monotonic() + 60
    found: list[dict[str, Any]] = []
    while not found and time.monotonic() < deadline_s:
        found = httpx.post(f"{prefect_server}/events/filter", json={"filter": wanted}).json()["events"]
        time.sleep(0.2)
    return found


@pytest.mark.nightly
def test_progress_is_shown_while_a_level_is_measured(
    shell: Shell, hostile: str, prefect_server: str, tmp_path: Path
) -> None:
    where = ("--url", hostile, "--model", MODEL, "--shape", SHAPE, "--data", str(tmp_path))
    process = shell.start("run", *where, "--levels", "1", "--duration", "120", "--no-calibrate")
    try:
        newest = wait_for_progress(prefect_server, hostile)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert newest["description"].startswith("Concurrency 1, level 1 of 1: ")


def wait_for_progress(prefect_server: str, url: str) -> dict[str, Any]:
    deadline_s = time.monotonic() + 100
    while time.monotonic() < deadline_s:
        for row in of_endpoint(prefect_server, url):
            if row["type"] == "progress" and 0 < row["data"] < 100:
                return row
        time.sleep(0.5)
    pytest.fail("no progress was shown")


# Where the Prefect server is away


@pytest.fixture
def away() -> Iterator[None]:
    nowhere = {PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(updates=nowhere):
        yield


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return level_sample.run(tmp_path)


def progress(completed: int) -> Progress:
    return Progress(completed, failed=0, planned=100, tokens_per_s=800.0, ttft_s=0.1)


def test_a_level_is_measured_all_the_same_and_one_line_says_so(
    away: None, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(show_progress, "POST_S", 0.01)
    with show_progress.show_progress(run):
        for completed in range(1, 60):
            notify_progress(1, progress(completed))
            time.sleep(0.005)
    assert [record.getMessage().partition(":")[0] for record in caplog.records if record.levelname == "WARNING"] == [
        "measure"
    ]


def test_a_run_whose_artifacts_cannot_be_made_has_its_result(
    away: None, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_artifact: object) -> None:
        raise httpx.ConnectError("All connection attempts failed")

    caplog.set_level("INFO", "shapebench")
    monkeypatch.setattr(artifacts.Artifact, "create", refuse)
    monkeypatch.setattr(notify, "emit_endpoint_event", lambda *_: None)  # its thread would go on trying
    verdict, report = level_sample.verdict([]), run.spec.data / "reports" / run.run_id / "index.html"
    notify.notify.fn(run, verdict, Conclusion("Suits 2 users", ()), report, [])
    said = [record.getMessage() for record in caplog.records]
    assert (len(said), said[0].startswith("notify: not all artifacts could be made"), said[1]) == (
        2,
        True,
        "done: valid: Suits 2 users",
    )
