"""A cancel in the Prefect UI: the load stops, and what was measured stays, to be gone on with or stored as it is."""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from shapebench.results import database
from shapebench.runs.resume import unfinished
from shapebench.runs.run_file import RunFile, load
from shapebench.test_servers.simulator.process import running_simulator
from tests.conftest import MODEL, BroughtUp, ended
from tests.flow_runs import is_measured, level_files, processes, retry, set_state, spec, state, wait_until
from tests.in_process import InProcess

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

LEVELS = [1, 8]
GENEROUS_S = 20  # where other tests want the machine; bench/cancel.py has the time that it takes


@dataclass(frozen=True)
class Cancelled:
    """A flow run that was cancelled in its second level, its folder, a copy of it, and the server's own log."""

    run: str
    ended_as: str
    data: Path
    copy: Path
    log: Path
    asked_ns: int

    @property
    def run_id(self) -> str:
        [folder] = self.copy.glob("runs/*/")
        return folder.name

    @property
    def kept(self) -> RunFile:
        return load(self.copy, self.run_id)


@pytest.fixture(scope="module")
def cancelled(brought_up: BroughtUp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cancelled]:
    folder = tmp_path_factory.mktemp("cancelled")
    data, copy, log = (folder / name for name in ("data", "copy", "truth.jsonl"))
    with running_simulator("fast", log=log) as url:
        run = brought_up.start("ad-hoc", {"spec": spec(url, data, LEVELS, duration_s=5)})
        wait_until(lambda: is_measured(data, LEVELS[1]))
        asked_ns = time.time_ns()
        set_state(run, "CANCELLING", "Cancelling")
        ended_as = ended(run)["type"]
        wait_until(lambda: not [*data.glob("runs/*/*.arrow")])
        shutil.copytree(data, copy)
        yield Cancelled(run, ended_as, data, copy, log, asked_ns)


def test_the_load_stops(cancelled: Cancelled) -> None:
    """By the server's own log."""
    received_ns = [json.loads(line)["received_ns"] for line in cancelled.log.read_bytes().splitlines()]
    assert max(received_ns) - cancelled.asked_ns < GENEROUS_S * 1e9
    assert cancelled.ended_as == "CANCELLED"


def test_what_was_measured_is_kept(cancelled: Cancelled) -> None:
    kept = cancelled.kept
    assert [level.concurrency for level in kept.measured] == [1]
    assert pq.read_metadata(kept.run.samples_at(8)).num_rows > 0
    assert kept.to_measure == (8,)


def test_what_was_measured_can_be_stored_as_it_is(cancelled: Cancelled, here: InProcess) -> None:
    done = here.run("resume", cancelled.run_id, "--data", str(cancelled.copy), "--as-is", "--json")
    assert done.code == 0, done.stderr
    stored = database.query(cancelled.copy, "SELECT levels, skipped_levels FROM runs").to_pylist()
    assert stored == [{"levels": [1], "skipped_levels": [8]}]
    assert Path(done.json["report"]).exists()


def test_the_run_goes_on_when_it_is_retried(cancelled: Cancelled) -> None:
    before = level_files(cancelled.data)
    retry(cancelled.run)
    wait_until(lambda: state(cancelled.run) != "SCHEDULED")
    assert ended(cancelled.run)["type"] == "COMPLETED"
    after = level_files(cancelled.data)
    assert after["level-0001.parquet"] == before["level-0001.parquet"]
    assert after["level-0008.interrupted-1.parquet"][1] == before["level-0008.parquet"][1]
    stored = database.query(cancelled.data, "SELECT levels, resumes FROM runs").to_pylist()
    assert stored == [{"levels": [1, 8], "resumes": 1}]


def test_a_cancelled_choice_ends_the_runs_of_all_its_endpoints(brought_up: BroughtUp, tmp_path: Path) -> None:
    mark = f"worker {brought_up.environment['PREFECT_HOME']}"
    with running_simulator("fast") as one, running_simulator("fast") as other:
        endpoints = [{"url": url, "model": MODEL, "shape": shape} for url, shape in ((one, "A"), (other, "B"))]
        load = {"levels": [1, 2], "duration_s": 5, "calibrate": False}
        content = {"endpoints": endpoints, "load": load, "data": str(tmp_path)}
        run = brought_up.start("shapes", {"choice": content})
        wait_until(lambda: len([*tmp_path.glob("runs/*/level-0002.parquet.*.arrow")]) == 2)
        set_state(run, "CANCELLING", "Cancelling")
        assert ended(run)["type"] == "CANCELLED"
        wait_until(lambda: not processes(mark, "shapebench.load"), at_most_s=GENEROUS_S)
    left = [(run["state"], run["measured"], run["to_measure"]) for run in unfinished(tmp_path, ())]
    assert left == [("interrupted", [1], [2])] * 2
