"""One measurement at a time on an endpoint, by flow runs in processes of their own, against a real Prefect server.

A machine is a folder for lock files: runs of the same folder see each other's locks, others only the server's limit.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.local_prefect.own_server import free_port
from shapebench.support.timing import Timing
from shapebench.support.timing import environment as waits
from tasks.prefect.lease import LEASE_S
from tests.conftest import ROOT, SOONER, Shell

pytestmark = pytest.mark.slow

LONG_S = 3600.0
NOTICE_S = float(SOONER["PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS"])
SLACK_S = 20  # for a machine that is busy with other tests


class Run:
    """A flow run that wants the endpoint for itself."""

    def __init__(self, process: "subprocess.Popen[str]", said: Path) -> None:
        self.process, self._said = process, said

    @property
    def said(self) -> str:
        return self._said.read_text(encoding="utf-8")

    @property
    def name(self) -> str:
        return self.said.partition("Beginning flow run '")[2].partition("'")[0]

    @property
    def is_in(self) -> bool:
        return "\nin\n" in self.said and self.process.poll() is None

    def die(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


Start = Callable[..., Run]


@pytest.fixture(scope="module")
def start(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts a run on a machine of this name."""
    folder = tmp_path_factory.mktemp("machines")
    with ExitStack() as running:

        def start_one(machine: str, url: str, when_busy: str = "wait", hold_s: float = LONG_S, **shorter: float) -> Run:
            environment = {
                **shell.environment,
                **waits(**shorter),
                "XDG_CACHE_HOME": str(folder / machine),
                "PREFECT_LOGGING_LEVEL": "INFO",
            }
            said = folder / f"{len(list(folder.iterdir()))}-{machine}.log"
            command = [sys.executable, "-m", "tests.lease_holder", url, when_busy, str(hold_s)]
            with said.open("w") as log:
                process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log, text=True)
            running.callback(process.wait)
            running.callback(process.kill)
            return Run(process, said)

        yield start_one


@pytest.fixture
def url() -> str:
    """An endpoint that no other test wants."""
    return f"http://127.0.0.1:{free_port()}"


def wait_until(condition: Callable[[], Any], at_most_s: float = 60) -> None:
    deadline_s = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.1)


def holder_of(start: Start, url: str, machine: str) -> Run:
    first = start(machine, url)
    wait_until(lambda: first.is_in)
    return first


@dataclass(frozen=True)
class Pair:
    """A run that has an endpoint, and one on another machine that waits for it."""

    first: Run
    second: Run

    @classmethod
    def of(cls, start: Start) -> "Pair":
        url = f"http://127.0.0.1:{free_port()}"
        first, second = holder_of(start, url, "a"), start("b", url)
        wait_until(lambda: f"Waiting for flow run {first.name}" in second.said)
        return cls(first, second)


@dataclass(frozen=True)
class Outlasting:
    """What takes longer than a lease: it begins before the other tests, which are done meanwhile."""

    kept: Pair
    died: Pair  # its first run, unnoticed
    since_s: float


@pytest.fixture(scope="module")
def outlasting(start: Start) -> Outlasting:
    kept, died = Pair.of(start), Pair.of(start)
    died.first.die()
    return Outlasting(kept, died, time.monotonic())


ANOTHER_MACHINE = pytest.param(("a", "b"), id="another machine")
THE_SAME_MACHINE = pytest.param(("a", "a"), id="the same machine", marks=pytest.mark.nightly)
machines = pytest.mark.parametrize("machines", [ANOTHER_MACHINE, THE_SAME_MACHINE])


@pytest.mark.nightly
def test_a_run_has_an_endpoint_that_another_waits_for(outlasting: Outlasting) -> None:
    """The first test, so that a lease's time has passed when the last ones want to know what comes of it."""
    assert (outlasting.kept.first.is_in, outlasting.kept.second.is_in) == (True, False)


@machines
def test_a_second_run_waits_and_says_for_whom(start: Start, url: str, machines: tuple[str, str]) -> None:
    first = holder_of(start, url, machines[0])
    second = start(machines[1], url)
    wait_until(lambda: f"Waiting for flow run {first.name}" in second.said)
    assert not second.is_in


@pytest.mark.nightly
@machines
def test_a_second_run_begins_when_the_first_is_done(start: Start, url: str, machines: tuple[str, str]) -> None:
    first = start(machines[0], url, hold_s=8)
    wait_until(lambda: first.is_in)
    second = start(machines[1], url)
    wait_until(lambda: second.is_in)
    assert "\nout\n" in first.said


@machines
def test_a_run_that_is_not_to_wait_fails_at_once_and_says_for_whom(
    start: Start, url: str, machines: tuple[str, str]
) -> None:
    first = holder_of(start, url, machines[0])
    second = start(machines[1], url, "fail")
    assert second.process.wait(60) == 1
    assert f"{url} is being measured by flow run {first.name}" in second.said


@pytest.mark.nightly
def test_different_endpoints_are_measured_at_the_same_time(start: Start, url: str) -> None:
    first = holder_of(start, url, "a")
    second = start("a", f"http://127.0.0.1:{free_port()}")
    wait_until(lambda: second.is_in)
    assert first.is_in


@pytest.mark.nightly
@pytest.mark.parametrize("written", ["{}/v1", pytest.param("{}/", marks=pytest.mark.nightly)])
def test_an_endpoint_is_the_same_however_it_is_written(start: Start, url: str, written: str) -> None:
    holder_of(start, url, "a")
    assert start("b", written.format(url), "fail").process.wait(60) == 1


def test_a_run_that_was_killed_frees_the_endpoint_on_its_machine_at_once(start: Start, url: str) -> None:
    holder_of(start, url, "a").die()
    second = start("a", url)
    wait_until(lambda: second.is_in, at_most_s=SLACK_S)
    assert "died while it measured" in second.said


@pytest.mark.nightly
def test_a_run_whose_crash_prefect_knows_of_frees_the_endpoint_everywhere(
    start: Start, url: str, prefect_server: str
) -> None:
    """A worker tells Prefect of a flow run whose process has died."""
    first = holder_of(start, url, "a")
    second = start("b", url)
    wait_until(lambda: f"Waiting for flow run {first.name}" in second.said)
    crash(first, prefect_server)
    wait_until(lambda: second.is_in, at_most_s=Timing.lease_look_s + SLACK_S)


@pytest.mark.nightly
def test_a_run_that_is_not_to_wait_does_not_fail_for_one_that_has_crashed(
    start: Start, url: str, prefect_server: str
) -> None:
    crash(holder_of(start, url, "a"), prefect_server)
    second = start("b", url, "fail")
    wait_until(lambda: second.is_in)


def crash(run: Run, prefect_server: str) -> None:
    run.die()
    crashed = {"state": {"type": "CRASHED", "name": "Crashed"}}
    httpx.post(f"{prefect_server}/flow_runs/{found(prefect_server, run)['id']}/set_state", json=crashed)


def found(prefect_server: str, run: Run) -> dict[str, Any]:
    """The run as Prefect knows it."""
    named = {"flow_runs": {"name": {"any_": [run.name]}}}
    [known] = httpx.post(f"{prefect_server}/flow_runs/filter", json=named).json()
    return dict(known)


@pytest.mark.nightly
def test_runs_that_have_held_an_endpoint_are_found_by_its_tag(start: Start, url: str, prefect_server: str) -> None:
    first = holder_of(start, url, "a")
    tagged = {"flow_runs": {"tags": {"all_": [limit_of(url)]}}}
    runs = httpx.post(f"{prefect_server}/flow_runs/filter", json=tagged).json()
    assert [run["name"] for run in runs] == [first.name]


def limit_of(url: str) -> str:
    return f"shapebench-127.0.0.1-{url.rpartition(':')[2]}"


def lease_of(prefect_server: str, run: Run) -> str:
    return str(found(prefect_server, run)["labels"]["shapebench.lease"])


@pytest.mark.nightly
def test_a_run_whose_lease_the_server_has_lost_takes_it_anew(start: Start, url: str, prefect_server: str) -> None:
    first = start("a", url, lease_renewal_s=1)
    wait_until(lambda: first.is_in)
    lost = lease_of(prefect_server, first)
    limits = f"{prefect_server}/v2/concurrency_limits"
    httpx.post(f"{limits}/decrement-with-lease", json={"lease_id": lost}).raise_for_status()
    wait_until(lambda: lease_of(prefect_server, first) != lost)
    assert httpx.get(f"{limits}/{limit_of(url)}").json()["active_slots"] == 1


@pytest.mark.nightly
def test_a_slot_that_nobody_holds_is_freed(start: Start, url: str, prefect_server: str) -> None:
    """A server that keeps leases in memory counts the slots of those that it had before it was started again."""
    stuck = {"name": limit_of(url), "limit": 1, "active_slots": 1}
    httpx.post(f"{prefect_server}/v2/concurrency_limits/", json=stuck).raise_for_status()
    first = start("a", url, lease_forgotten_s=3)
    wait_until(lambda: first.is_in)
    assert "No run holds" in first.said


@pytest.mark.nightly
def test_without_a_server_that_lasts_runs_on_one_machine_take_turns(
    start: Start, url: str, monkeypatch: pytest.MonkeyPatch, shell: Shell
) -> None:
    """`shapebench run` starts a server for each run, which cannot keep others waiting."""
    monkeypatch.setitem(shell.environment, "PREFECT__SERVER_EPHEMERAL", "1")
    first = holder_of(start, url, "a")
    second = start("a", url, "fail")
    assert (second.process.wait(60), f"by flow run {first.name}" in second.said) == (1, True)
    assert "concurrency limit" not in first.said


# At the end, when most of the time has passed


@pytest.mark.nightly
def test_a_run_keeps_the_endpoint_for_longer_than_a_lease_lasts(outlasting: Outlasting) -> None:
    time.sleep(max(0.0, outlasting.since_s + LEASE_S + NOTICE_S + 5 - time.monotonic()))
    assert (outlasting.kept.first.is_in, outlasting.kept.second.is_in) == (True, False)


@pytest.mark.nightly
def test_a_machine_that_died_unnoticed_frees_the_endpoint_with_its_lease(outlasting: Outlasting) -> None:
    wait_until(lambda: outlasting.died.second.is_in, at_most_s=LEASE_S + NOTICE_S + Timing.lease_look_s + SLACK_S)
