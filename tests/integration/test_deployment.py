"""prefect.yaml against a real Prefect server, with a process worker."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow.parquet as pq
import pytest

from terminal.run import SETTINGS
from tests.conftest import MODEL, ROOT

pytestmark = pytest.mark.slow


def prefect(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def environment(prefect_server: str, prefect_home: Path) -> dict[str, str]:
    here = {"PWD": str(ROOT)}  # prefect.yaml names the working directory by it
    return {**os.environ, **SETTINGS, **here, "PREFECT_API_URL": prefect_server, "PREFECT_HOME": str(prefect_home)}


@pytest.fixture(scope="module")
def deployments(environment: dict[str, str], prefect_server: str) -> dict[str, Any]:
    """What the server has after `prefect deploy --all`, by name."""
    prefect(environment, "work-pool", "create", "shapebench", "--type", "process")
    prefect(environment, "deploy", "--all")
    return {d["name"]: d for d in httpx.post(f"{prefect_server}/deployments/filter", json={}).json()}


@pytest.fixture
def worker(environment: dict[str, str], tmp_path: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "shapebench"]
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log)
    yield
    started = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    _, still_there = psutil.wait_procs(started, timeout=30)
    for left in still_there:
        left.kill()
    process.wait()


def test_all_deployments_of_prefect_yaml_are_there(deployments: dict[str, Any]) -> None:
    assert set(deployments) == {"nightly", "ad-hoc", "comparison", "republish", "watch"}


def test_the_nightly_one_has_a_schedule(deployments: dict[str, Any]) -> None:
    assert [s["schedule"]["cron"] for s in deployments["nightly"]["schedules"]] == ["0 2 * * *"]


@pytest.mark.parametrize("needed", ["title", "description"])
def test_every_field_of_the_form_is_explained(deployments: dict[str, Any], needed: str) -> None:
    parts = deployments["ad-hoc"]["parameter_openapi_schema"]["definitions"]
    fields = {f"{part}.{name}": field for part in parts for name, field in parts[part].get("properties", {}).items()}
    assert [name for name, field in fields.items() if not explained(field, parts, needed)] == []


def explained(field: dict[str, Any], parts: dict[str, Any], needed: str) -> bool:
    """Has the field what is needed, or the group that it is?"""
    forms = (field, *field.get("allOf", ()), *field.get("anyOf", ()))
    groups = [parts[form["$ref"].rpartition("/")[2]] for form in forms if "$ref" in form]
    return any(form.get(needed) for form in (field, *groups))


def start(prefect_server: str, deployments: dict[str, Any], spec: dict[str, Any]) -> str:
    """The id of a new run of the ad-hoc deployment."""
    address = f"{prefect_server}/deployments/{deployments['ad-hoc']['id']}/create_flow_run"
    run_id: str = httpx.post(address, json={"parameters": {"spec": spec}}).raise_for_status().json()["id"]
    return run_id


def test_a_worker_runs_the_flow(
    deployments: dict[str, Any],
    environment: dict[str, str],
    prefect_server: str,
    simulator: str,
    tmp_path: Path,
    worker: None,
) -> None:
    spec = {
        "endpoint": {"url": simulator, "model": MODEL},
        "load": {"levels": [1, 2], "requests": 16},
        "data": str(tmp_path / "data"),
    }
    run_id = start(prefect_server, deployments, spec)
    prefect(environment, "flow-run", "watch", run_id)
    state = httpx.get(f"{prefect_server}/flow_runs/{run_id}").json()["state"]
    assert (state["type"], "Suits" in state["message"]) == ("COMPLETED", True), state
    assert (tmp_path / "data" / "results.duckdb").exists()


def test_a_run_that_is_cancelled_stops_and_keeps_what_it_measured(
    deployments: dict[str, Any],
    prefect_server: str,
    simulator: str,
    tmp_path: Path,
    worker: None,
) -> None:
    spec = {
        "endpoint": {"url": simulator, "model": MODEL},
        "load": {"levels": [2], "duration_s": 3600, "processes": 2, "calibrate": False},
        "data": str(tmp_path / "data"),
    }
    run = f"{prefect_server}/flow_runs/{start(prefect_server, deployments, spec)}"
    wait_until(lambda: any(file.stat().st_size > 10_000 for file in tmp_path.glob("data/runs/*/level-0002.*.arrow")))
    cancel = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    httpx.post(f"{run}/set_state", json=cancel).raise_for_status()
    wait_until(lambda: httpx.get(run).json()["state"]["type"] == "CANCELLED")
    wait_until(lambda: not [*tmp_path.glob("data/runs/*/*.arrow")])
    [file] = tmp_path.glob("data/runs/*/level-*")
    assert pq.read_metadata(file).num_rows > 0


def wait_until(condition: Callable[[], bool], at_most_s: float = 120) -> None:
    end_s = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.1)


def test_a_wrong_parameter_is_refused_by_name(deployments: dict[str, Any], prefect_server: str) -> None:
    spec = {"endpoint": {"url": "http://127.0.0.1:1", "model": MODEL}, "load": {"levels": ["many"]}}
    address = f"{prefect_server}/deployments/{deployments['ad-hoc']['id']}/create_flow_run"
    refused = httpx.post(address, json={"parameters": {"spec": spec}})
    assert refused.status_code == 409
    assert "levels" in refused.text
