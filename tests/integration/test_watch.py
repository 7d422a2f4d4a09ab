"""A run is held against those before it, and people are told: a real Prefect server, and somebody who listens."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from flows.prefect_settings import SETTINGS
from flows.watch import watch as watch_run
from shapebench.results.database import query
from shapebench.spec.model import parse
from shapebench.support.endpoint_id import endpoint_id
from shapebench.test_servers.simulator.presets import LLAMA
from tests.conftest import ROOT, BroughtUp, ended
from tests.in_process import FlowsInProcess
from tests.unit.results.sql.results_file import ResultsFile

pytestmark = pytest.mark.slow

STEADY = (100, 102, 98, 101, 99)
MODEL = '<b>&"m"'
ENDPOINT = ("http://a", MODEL, "VM.GPU.A10.1")
AT_MOST_S = 60


@dataclass
class Receiver:
    """Somebody who takes POSTs on 127.0.0.1."""

    url: str = ""
    heard: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    here = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            here.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield here
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def environment(prefect_server: str, prefect_home: Path) -> dict[str, str]:
    return {**os.environ, **SETTINGS, "PREFECT_API_URL": prefect_server, "PREFECT_HOME": str(prefect_home)}


def python(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def alerts(environment: dict[str, str], receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The automations of examples/alert.yaml, as docs/alerts.md says it."""
    python(environment, "-c", SAVE_BLOCK.format(url=receiver.url))
    block = python(environment, "-c", SHOW_BLOCK).strip()
    file = tmp_path_factory.mktemp("alerts") / "alert.yaml"
    file.write_text((ROOT / "examples" / "alert.yaml").read_text().replace("BLOCK_ID", block), encoding="utf-8")
    python(environment, "-m", "prefect", "automation", "create", "--from-file", str(file))
    return file


SAVE_BLOCK = """
from prefect.blocks.webhook import Webhook
headers = {{"Content-Type": "application/json"}}
Webhook(url="{url}", headers=headers).save("shapebench-alerts", overwrite=True)
"""
SHOW_BLOCK = """
from prefect.blocks.webhook import Webhook
print(Webhook.load("shapebench-alerts")._block_document_id)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five steady runs, one like them, one a little worse and one that is half as fast."""
    results = ResultsFile(tmp_path_factory.mktemp("data"))
    for day, (run_id, tokens_per_s) in enumerate(
        [*((f"steady-{n}", value) for n, value in enumerate(STEADY)), ("like", 100), ("slower", 92), ("half", 50)]
    ):
        results.run(run_id, day, model=MODEL)
        results.level(run_id, 8, system_tokens_per_s=tokens_per_s)
    results.ask("FROM runs")
    return results.data


def watch(here: FlowsInProcess, data: Path, run_id: str) -> str:
    """What the flow has ended with."""
    with here.surroundings():
        return str(watch_run(run_id, data, return_state=True).message)


def events(prefect_server: str, run_id: str, at_least: int = 1) -> list[dict[str, Any]]:
    """What was said of a run, when it has arrived."""
    wanted = {"event": {"prefix": ["shapebench."]}, "resource": {"labels": {"shapebench.run_id": run_id}}}
    deadline_s = time.monotonic() + AT_MOST_S
    while time.monotonic() < deadline_s:
        found: list[dict[str, Any]] = httpx.post(f"{prefect_server}/events/filter", json={"filter": wanted}).json()[
            "events"
        ]
        if len(found) >= at_least:
            return found
        time.sleep(0.2)
    pytest.fail(f"too little was said of {run_id}")


@pytest.mark.parametrize(
    ("run_id", "name", "severity"),
    [
        pytest.param("steady-1", "shapebench.cannot-tell", "none", marks=pytest.mark.nightly),
        pytest.param("like", "shapebench.no-regression", "none", marks=pytest.mark.nightly),
        ("slower", "shapebench.regression", "warning"),
    ],
)
def test_an_event_says_what_is_known_and_how_grave_it_is(
    run_id: str, name: str, severity: str, here: FlowsInProcess, data: Path, prefect_server: str
) -> None:
    message = watch(here, data, run_id)
    [event] = events(prefect_server, run_id)
    resource = event["resource"]
    assert (event["event"], resource["shapebench.severity"]) == (name, severity)
    assert resource["prefect.resource.id"] == f"shapebench.endpoint.{endpoint_id(*ENDPOINT)}"
    assert message == f"{severity}: {event['payload']['headline']}"


@pytest.mark.nightly
def test_a_regression_is_sent_on_and_no_regression_is_not(
    alerts: Path, receiver: Receiver, here: FlowsInProcess, data: Path, prefect_server: str
) -> None:
    assert alerts.exists()
    watch(here, data, "like")
    events(prefect_server, "like")
    watch(here, data, "half")
    deadline_s = time.monotonic() + AT_MOST_S
    while not receiver.heard and time.monotonic() < deadline_s:
        time.sleep(0.1)
    [heard] = receiver.heard
    assert (heard["run_id"], heard["severity"], heard["model"]) == ("half", "critical", MODEL)
    assert heard["headline"] == "Worse than the runs before: System throughput -49% at concurrency 8"
    assert heard["text"] == f'critical: &lt;b&gt;&amp;"m" on VM.GPU.A10.1. {heard["headline"]}'


@pytest.mark.nightly
def test_a_run_that_failed_is_sent_on(alerts: Path, receiver: Receiver, here: FlowsInProcess) -> None:
    assert alerts.exists()
    before = len(receiver.heard)
    endpoint = ("--url", "http://127.0.0.1:1", "--model", "m", "--ready-timeout", "0.1")
    failed = here.run("run", *endpoint, "--data", str(alerts.parent))
    assert "No connection to http://127.0.0.1:1" in failed.stderr
    deadline_s = time.monotonic() + AT_MOST_S
    while len(receiver.heard) == before and time.monotonic() < deadline_s:
        time.sleep(0.1)
    [heard] = receiver.heard[before:]
    assert "No connection to http://127.0.0.1:1" in heard["headline"]


def test_a_run_that_is_not_there_is_said_so(here: FlowsInProcess, data: Path) -> None:
    message = watch(here, data, "nothing")
    assert "has no run nothing" in message


@pytest.mark.nightly
def test_each_run_of_a_deployment_is_watched(brought_up: BroughtUp, simulator: str, tmp_path: Path) -> None:
    endpoint = {"url": simulator, "model": LLAMA, "shape": "VM.TEST.1"}
    load = {"levels": [2], "requests": 24, "calibrate": False}
    spec = parse({"endpoint": endpoint, "load": load, "data": tmp_path})
    results = ResultsFile(tmp_path)
    for day, tokens_per_s in enumerate((9.9e8, 1e9, 1.01e9)):
        about = {**endpoint, "spec": spec.model_dump_json()}
        results.run(f"r{day}", day, **about)
        results.level(f"r{day}", 2, system_tokens_per_s=tokens_per_s)
    results.ask("FROM runs")
    assert (
        ended(brought_up.start("ad-hoc", {"spec": spec.model_dump(mode="json", exclude_none=True)}))["type"]
        == "COMPLETED"
    )
    [newest] = query(tmp_path, "SELECT run_id FROM runs ORDER BY started_at DESC LIMIT 1")["run_id"].to_pylist()
    told = {event["event"]: event["resource"] for event in events(brought_up.api, newest, at_least=2)}
    assert set(told) == {"shapebench.run.finished", "shapebench.regression"}
    assert told["shapebench.regression"]["shapebench.severity"] == "critical"
