"""`make up` and `make down`: a Prefect server and a worker that come, work and go."""

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

from cli.local_prefect.services import MARK, Service
from tests.conftest import MODEL, ROOT, BroughtUp, brought_up_in, ended

pytestmark = pytest.mark.slow


def processes(home: str) -> list[psutil.Process]:
    """Those that `make up` has started in this home, by their environment."""
    return [p for p in psutil.process_iter() if environment(p).get(MARK, "").endswith(f" {home}")]


def environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def asked(brought_up: BroughtUp, path: str, content: dict[str, Any] | None = None) -> Any:
    return httpx.post(f"{brought_up.api}/{path}", json=content or {}).raise_for_status().json()


@pytest.fixture
def deployments(brought_up: BroughtUp) -> dict[str, Any]:
    return {deployment["name"]: deployment for deployment in asked(brought_up, "deployments/filter")}


@pytest.mark.nightly
def test_the_deployments_are_there(deployments: dict[str, Any]) -> None:
    assert set(deployments) >= {"nightly", "ad-hoc", "capacity", "shapes", "comparison", "republish"}


@pytest.mark.nightly
def test_each_deployment_says_what_it_is_for(deployments: dict[str, Any]) -> None:
    assert {name for name, d in deployments.items() if d["description"] and "shapebench" in d["tags"]} == set(
        deployments
    )


@pytest.mark.nightly
def test_each_deployment_limits_its_runs_and_says_what_becomes_of_more(deployments: dict[str, Any]) -> None:
    limits = {name: (d["global_concurrency_limit"] or {}).get("limit") for name, d in deployments.items()}
    assert all(limits.values()), limits
    assert deployments["nightly"]["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert deployments["ad-hoc"]["concurrency_options"]["collision_strategy"] == "ENQUEUE"


@pytest.mark.nightly
def test_nights_have_a_time_zone(deployments: dict[str, Any]) -> None:
    [schedule] = deployments["nightly"]["schedules"]
    assert (schedule["schedule"]["timezone"], schedule["active"]) == ("UTC", False)


@pytest.mark.nightly
def test_the_worker_is_online(brought_up: BroughtUp) -> None:
    assert "ONLINE" in {w["status"] for w in asked(brought_up, "work_pools/shapebench/workers/filter")}


@pytest.mark.nightly
@pytest.mark.parametrize("slug", ["endpoint-key", "oci-credentials"])
def test_the_block_types_are_registered(brought_up: BroughtUp, slug: str) -> None:
    assert httpx.get(f"{brought_up.api}/block_types/slug/{slug}").status_code == 200


@pytest.mark.nightly
def test_the_server_listens_on_this_machine_only(brought_up: BroughtUp) -> None:
    port = int(brought_up.url.rpartition(":")[2])
    home = brought_up.environment["PREFECT_HOME"]
    listening = [c for p in processes(home) for c in p.net_connections() if c.status == psutil.CONN_LISTEN]
    assert {c.laddr.ip for c in listening if c.laddr.port == port} == {"127.0.0.1"}


@pytest.mark.nightly
def test_the_server_sends_no_telemetry(brought_up: BroughtUp) -> None:
    assert httpx.get(f"{brought_up.api}/admin/settings").json()["server"]["analytics_enabled"] is False


@pytest.mark.nightly
def test_the_ui_asks_its_own_server(brought_up: BroughtUp) -> None:
    assert httpx.get(f"{brought_up.url}/ui-settings").json()["api_url"] == "/api"


@pytest.mark.nightly
def test_up_a_second_time_starts_nothing_and_says_where_to_look_next(brought_up: BroughtUp) -> None:
    home = brought_up.environment["PREFECT_HOME"]
    before = processes(home)
    done = brought_up.up()
    assert (done.code, set(processes(home))) == (0, set(before)), done.stderr
    assert f"Prefect UI:    {brought_up.url}\n" in done.stdout


@pytest.mark.nightly
def test_a_port_with_another_server_is_refused(brought_up: BroughtUp, tmp_path: Path) -> None:
    other = BroughtUp(brought_up.url, {**brought_up.environment, "PREFECT_HOME": str(tmp_path)})
    refused = other.up()
    assert (refused.code, "Another Prefect server" in refused.stderr) == (1, True), refused.stderr


@pytest.fixture
def usual_again(brought_up: BroughtUp) -> Iterator[None]:
    """Other tests find the defaults as they were."""
    yield
    httpx.delete(f"{brought_up.api}/variables/name/shapebench_defaults").raise_for_status()
    brought_up.up()


@pytest.mark.nightly
def test_a_spec_becomes_the_defaults(brought_up: BroughtUp, tmp_path: Path, usual_again: None) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(USUAL, encoding="utf-8")
    done = brought_up.up("--spec", str(spec))
    assert done.code == 0, done.stderr
    variable = httpx.get(f"{brought_up.api}/variables/name/shapebench_defaults").json()["value"]
    given = {d["name"]: d["parameters"] for d in asked(brought_up, "deployments/filter")}
    specs = {name: given[name]["spec"] for name in ("nightly", "ad-hoc", "capacity")}
    for found in (variable, *specs.values()):
        assert (found["endpoint"]["url"], found["load"]["levels"]) == ("http://gpu:8000", [1, 2])
    assert {name: found.get("search") for name, found in specs.items()} == {**dict.fromkeys(specs), "capacity": SEARCH}
    folders = [parameters.get("spec", parameters.get("choice", parameters))["data"] for parameters in given.values()]
    assert set(folders) == {"/srv/data"}


SEARCH = {"max_level": 64}
USUAL = """
endpoint: {url: 'http://gpu:8000', model: m}
load: {levels: '1,2'}
search: {max_level: 64}
data: /srv/data
"""


@pytest.mark.nightly
def test_deploying_alone_starts_nothing(brought_up: BroughtUp) -> None:
    """What a server on another machine is deployed to with."""
    before = processes(brought_up.environment["PREFECT_HOME"])
    elsewhere = BroughtUp(brought_up.url, {**brought_up.environment, "PREFECT_API_URL": brought_up.api})
    done = elsewhere.make("deploy")
    assert done.code == 0, done.stderr
    assert set(processes(brought_up.environment["PREFECT_HOME"])) == set(before)


@pytest.mark.nightly
def test_a_spec_that_is_wrong_is_refused_by_field(brought_up: BroughtUp, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("endpoint: {url: 'http://gpu:8000', model: m}\nload: {levels: [0]}\n", encoding="utf-8")
    refused = brought_up.up("--spec", str(spec))
    assert (refused.code, "load.levels.0" in refused.stderr) == (1, True), refused.stderr


def short(simulator: str, data: Path, **load: Any) -> dict[str, Any]:
    usual = {"levels": [1, 2], "requests": 16, "calibrate": False}
    return {"endpoint": {"url": simulator, "model": MODEL}, "load": load or usual, "data": str(data)}


@pytest.fixture(scope="module")
def stored(brought_up: BroughtUp, simulator: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report that a run of the ad-hoc deployment has made."""
    data = tmp_path_factory.mktemp("data")
    state = ended(brought_up.start("ad-hoc", {"spec": short(simulator, data)}))
    assert (state["type"], "Suits" in state["message"]) == ("COMPLETED", True), state
    [report] = (data / "reports").iterdir()
    return report


@pytest.mark.nightly
def test_the_worker_runs_the_flow(stored: Path) -> None:
    assert (stored.parents[1] / "results.duckdb").exists()


@pytest.mark.nightly
def test_a_stored_run_is_drawn_and_sent_again(brought_up: BroughtUp, stored: Path) -> None:
    data, run_id = stored.parents[1], stored.name
    places = (stored / "index.html", data / "published" / run_id / "index.html")
    for page in places:
        page.unlink()
    state = ended(brought_up.start("republish", {"run_id": run_id, "data": str(data)}))
    assert state["type"] == "COMPLETED", state
    assert [page.exists() for page in places] == [True, True]


def wait_until(condition: Callable[[], object], at_most_s: float = 60) -> None:
    deadline_s = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def brought_down(simulator: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What is left when `make down` came in the middle of a measurement."""
    home, data = tmp_path_factory.mktemp("down"), tmp_path_factory.mktemp("data")
    here = brought_up_in(home)
    try:
        done = here.up()
        assert done.code == 0, done.stderr
        here.start("ad-hoc", {"spec": short(simulator, data, levels=[2], duration_s=600, calibrate=False)})
        wait_until(lambda: any(file.stat().st_size > 10_000 for file in data.glob("runs/*/*.arrow")))
        before = processes(str(home))
        said = here.make("down").stdout
        yield {"before": before, "after": processes(str(home)), "said": said, "data": data}
    finally:
        here.make("down")


@pytest.mark.nightly
def test_down_stops_everything_and_says_so(brought_down: dict[str, Any]) -> None:
    assert brought_down["said"] == "The worker is stopped\nThe server is stopped\n"
    assert len(brought_down["before"]) > 3  # with the flow run and what it measures with
    assert brought_down["after"] == []


@pytest.mark.nightly
def test_down_in_the_middle_of_a_level_keeps_what_was_measured(brought_down: dict[str, Any]) -> None:
    [samples] = brought_down["data"].glob("runs/*/level-0002.parquet")
    assert pq.read_metadata(samples).num_rows > 0


SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
PARENT = [sys.executable, "-c", f"import subprocess; subprocess.run({SLEEP!r})"]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A process that has started another; both are left alone until they are stopped."""
    service = Service("parent", PARENT, tmp_path)
    with service.start({}, tmp_path):
        wait_until(lambda: len(service.processes) == 2)
        yield service
        service.stop()


def test_a_service_that_was_started_runs(service: Service) -> None:
    assert service.runs


def test_what_a_dead_process_has_left_behind_is_stopped(service: Service) -> None:
    [parent] = [process for process in service.processes if process.cmdline() == PARENT]
    parent.kill()
    wait_until(lambda: len(service.processes) == 1)
    assert (service.runs, service.stop(), service.processes) == (False, 1, [])


def test_nothing_else_is_stopped(service: Service, tmp_path: Path) -> None:
    """Not even the same command, started in another home or by hand."""
    elsewhere = Service("parent", PARENT, tmp_path / "elsewhere")
    with elsewhere.start({}, tmp_path), subprocess.Popen(PARENT) as by_hand:
        wait_until(lambda: len(elsewhere.processes) == 2 and psutil.Process(by_hand.pid).children())
        service.stop()
        left = elsewhere.runs, by_hand.poll()
        elsewhere.stop()
        for process in (*psutil.Process(by_hand.pid).children(), psutil.Process(by_hand.pid)):
            process.kill()
    assert left == (True, None)


def test_make_calls_it_by_its_name() -> None:
    shown = subprocess.run(["make", "-n", "up", "PORT=4201"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "python -m cli.local_prefect.up up --port 4201" in shown.stdout
