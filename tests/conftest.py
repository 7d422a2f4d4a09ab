"""Real parts: a Prefect server, the simulator, the command line in a process of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psutil
import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from cli.local_prefect import services
from cli.local_prefect.own_server import free_port
from flows.prefect_settings import SETTINGS
from shapebench.support.file_lock import file_lock
from shapebench.support.timing import environment as waits
from shapebench.test_servers.simulator.presets import LLAMA
from shapebench.test_servers.simulator.process import running_simulator
from tests import leftovers
from tests.examples import EVERYTHING

ROOT = Path(__file__).parents[1]
MODEL = LLAMA
SERVER_START_S = 120
TOGETHER = {"test_pipeline.py": "one run", "test_logs.py": "one run"}
# What is only waited for comes sooner: runs that a worker looks for, events, leases that have run out.
SOONER = {
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "5",
}
SHORT_WAITS = waits(retry_delays_s=[0.2, 1], store_retry_delay_s=0.5)


def pytest_configure(config: pytest.Config) -> None:
    """Make what tests start the same wherever the tests are started.

    A script that runs them in the background, `make test &`, has SIGINT ignored, which children inherit: they could not
    be interrupted. A signal that is handled here has its default effect in children.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        leftovers.mark()  # but for what pytest-xdist starts
    settings.load_profile("all" if EVERYTHING else "some")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run again what a busy machine, shared with others, lets down now and then; pure tests get one try.

    Tests that measure time get two more, those that wait for servers, processes or pages within bounds one more.
    """
    for item in items:
        if item.get_closest_marker("measures_time"):
            item.add_marker(pytest.mark.flaky(reruns=2))
        elif any(item.get_closest_marker(name) for name in ("slow", "browser", "live")):
            item.add_marker(pytest.mark.flaky(reruns=1))


class Scheduler(LoadFileScheduling):
    """Gives a file's tests to one process, since they share what they start; so do some files among themselves."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return TOGETHER.get(Path(file).name, file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduler:
    return Scheduler(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """End the processes that a test has started and left behind when it failed; fixtures end theirs."""
    if not item.get_closest_marker("slow"):
        return (yield)
    before = leftovers.started()
    try:
        return (yield)
    except BaseException:
        left = leftovers.started() - before
        leftovers.end({process for process in left if not _is_service(process)})
        raise


def _is_service(process: psutil.Process) -> bool:
    """Is it of `make up`, whose fixture runs `make down`?"""
    try:
        return services.MARK in process.environ()
    except psutil.Error:
        return False


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End what is still there when all fixtures are done."""
    if leftovers.NAME in os.environ and (commands := leftovers.end(leftovers.started())):
        print(f"\nLeft behind by tests, and ended: {commands}", file=sys.stderr)


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


class Shell:
    """Runs `shapebench …` as people do, with a Prefect home of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = {**os.environ, **SETTINGS, **SHORT_WAITS, **environment}

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "cli", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, env=self.environment, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def run(self, *arguments: str, timeout_s: float = 240) -> Finished:
        with self.start(*arguments) as process:
            stdout, stderr = process.communicate(timeout=timeout_s)
            return Finished(process.returncode, stdout, stderr)


def prefect_home_in(folder: Path) -> Path:
    """A Prefect home with an empty database."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(_empty_database(), folder / "prefect.db")
    return folder


@cache
def _empty_database() -> Path:
    """The file of one, which takes Prefect seconds to create: made once for each of its versions."""
    kept = ROOT / ".pytest_cache" / f"prefect-{version('prefect')}.db"
    kept.parent.mkdir(exist_ok=True)
    with file_lock(kept.with_suffix(".lock"), lambda _: None), TemporaryDirectory() as home:
        if not kept.exists():
            command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
            environment = {**os.environ, **SETTINGS, "PREFECT_HOME": home}
            subprocess.run(command, env=environment, check=True, capture_output=True, timeout=SERVER_START_S)
            shutil.move(Path(home) / "prefect.db", kept.with_suffix(".new"))
            kept.with_suffix(".new").replace(kept)
    return kept


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prefect_home_in(tmp_path_factory.mktemp("prefect"))


@pytest.fixture(scope="session")
def prefect_server(prefect_home: Path) -> Iterator[str]:
    """The address of a real Prefect server's API."""
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    environment = {**os.environ, **SETTINGS, **SOONER, "PREFECT_HOME": str(prefect_home)}
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui"]
    with (prefect_home / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until_answers(f"{api}/health", process)
        yield api
    finally:
        process.terminate()
        process.wait(30)


def wait_until_answers(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline_s = time.monotonic() + SERVER_START_S
    while time.monotonic() < deadline_s:
        assert process.poll() is None, "the Prefect server ended"
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    pytest.fail(f"{url} did not answer within {SERVER_START_S} s")


@pytest.fixture(scope="session")
def shell(prefect_server: str, prefect_home: Path) -> Shell:
    return Shell({"PREFECT_API_URL": prefect_server, "PREFECT_HOME": str(prefect_home)})


@pytest.fixture(scope="session")
def simulator() -> Iterator[str]:
    """The address of a fast simulator."""
    with running_simulator("fast") as url:
        yield url


@dataclass(frozen=True)
class BroughtUp:
    """What `make up` has started: where it is, and the environment in which it was."""

    url: str
    environment: dict[str, str]

    @property
    def api(self) -> str:
        return f"{self.url}/api"

    def make(self, *arguments: str) -> Finished:
        """Run what `make up` and `make down` run."""
        command = [sys.executable, "-m", "cli.local_prefect.up", *arguments]
        done = subprocess.run(
            command, env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def up(self, *arguments: str) -> Finished:
        return self.make("up", "--port", self.url.rpartition(":")[2], *arguments)

    def start(self, deployment: str, parameters: dict[str, Any]) -> str:
        """The address of a new run of a deployment."""
        found = httpx.post(f"{self.api}/deployments/filter", json={"deployments": {"name": {"any_": [deployment]}}})
        address = f"{self.api}/deployments/{found.json()[0]['id']}/create_flow_run"
        run = httpx.post(address, json={"parameters": parameters}).raise_for_status().json()
        return f"{self.api}/flow_runs/{run['id']}"


def brought_up_in(home: Path) -> BroughtUp:
    """With a Prefect home of its own, on a free port; not started yet."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "SHAPEBENCH_"))}
    own = {"PREFECT_HOME": str(prefect_home_in(home))}
    return BroughtUp(f"http://127.0.0.1:{free_port()}", {**kept, **SOONER, **own})


@pytest.fixture(scope="session")
def brought_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BroughtUp]:
    """Server, worker and deployments, as `make up` makes them."""
    here = brought_up_in(tmp_path_factory.mktemp("up"))
    try:
        done = here.up()
        assert done.code == 0, done.stdout + done.stderr
        yield here
    finally:
        here.make("down")


def ended(run: str, at_most_s: float = 240) -> dict[str, Any]:
    """The state in which a flow run, given by its address, has come to its end."""
    deadline_s = time.monotonic() + at_most_s
    while time.monotonic() < deadline_s:
        state: dict[str, Any] = httpx.get(run).json()["state"]
        if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            return state
        time.sleep(0.5)
    pytest.fail(f"{run} did not end within {at_most_s} s")
