"""A Prefect server that is away while a level is measured: the run goes on, and nothing of it is lost."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import httpx
import psutil
import pytest

from tests.conftest import BroughtUp, brought_up_in, ended
from tests.flow_runs import is_measured, processes, spec, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

LEVELS = [1, 2, 3]
LEVEL_S = 5.0  # one level ends, and another begins, while the server is away
AWAY_S = 9.0
End = Callable[[psutil.Process], None]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BroughtUp]:
    """A server, with a database in a file, and a worker."""
    here = brought_up_in(tmp_path_factory.mktemp("prefect"))
    try:
        done = here.up()
        assert done.code == 0, done.stdout + done.stderr
        yield here
    finally:
        here.make("down")


@pytest.mark.parametrize("end", [psutil.Process.terminate, psutil.Process.kill])
def test_a_run_survives_a_restart_of_the_server(own: BroughtUp, simulator: str, tmp_path: Path, end: End) -> None:
    run = own.start("ad-hoc", {"spec": spec(simulator, tmp_path, LEVELS, duration_s=LEVEL_S)})
    wait_until(lambda: is_measured(tmp_path, 1))
    stop_server(own, end)
    time.sleep(AWAY_S)
    assert own.up().code == 0
    assert ended(run)["type"] == "COMPLETED"
    with duckdb.connect(str(tmp_path / "results.duckdb"), read_only=True) as connection:
        assert connection.sql("SELECT levels, resumes FROM runs").fetchall() == [(LEVELS, 0)]
        assert connection.sql("SELECT DISTINCT error FROM raw.levels").fetchall() == [(None,)]
    wait_until(lambda: task_runs(own, run) == {f"measure-{n}": "COMPLETED" for n in LEVELS})


def stop_server(own: BroughtUp, end: End) -> None:
    mark = f"server {own.environment['PREFECT_HOME']}"
    server = processes(mark, "server") + processes(mark, "prefect.server.api.server:create_app")
    assert server
    for process in server:
        end(process)
    _, still_there = psutil.wait_procs(server, timeout=60)
    assert still_there == []


def task_runs(own: BroughtUp, run: str) -> dict[str, str]:
    """The states of the tasks that measure, as the server has them."""
    wanted = {
        "flow_runs": {"id": {"any_": [run.rpartition("/")[2]]}},
        "task_runs": {"name": {"like_": "measure-"}},
    }
    return {task["name"]: task["state_type"] for task in httpx.post(f"{own.api}/task_runs/filter", json=wanted).json()}
