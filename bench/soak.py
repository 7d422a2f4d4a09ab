"""Soak test: many flow runs in a row at one worker, to find leaks.

    python -m bench.soak [RUNS]

A Prefect server, a worker and the deployments, as `make up` creates them, with separate home, cache and temporary
folders; the simulator's preset `fast`; the deployment ad-hoc, in rotation: a good sweep of a second, one whose requests
all time out (on_invalid: fail), and one whose process is killed with -9 while it measures. After each it prints how it
ended, what it left (processes, locks, files), and the open files and resident memory of worker and server. Exits with 1
if a run hangs or ends in a wrong state, or if anything is left or grows.
"""

import fcntl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from cli.local_prefect.services import Service
from shapebench.runs.resume import of_flow_run
from shapebench.test_servers.simulator.presets import LLAMA
from shapebench.test_servers.simulator.process import running_simulator
from tests.conftest import BroughtUp, brought_up_in

KINDS = ("good", "failing", "killed")
ENDS_AS = {"good": "COMPLETED", "failing": "FAILED", "killed": "CRASHED"}
SHORT = {"levels": [1, 2], "duration_s": 0.5, "calibrate": False}
LOADS: dict[str, dict[str, Any]] = {
    "good": SHORT,
    "failing": SHORT | {"request_timeout_s": 0.001},
    "killed": {"levels": [2], "duration_s": 60, "calibrate": False},
}
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
END_S = 90  # from the request of the run to a final state
GONE_S = 20  # from there on until its last process is gone
TURN_S = 5  # from the flow's start to its first task: it waited for nobody
LEFT_OVER = ("*.next*", "*.wal", ".snapshot-*", "runs/*/*.[0-9]*[0-9]", "reports/*/*.[0-9]*[0-9]")  # in the data folder
WORKERS = "runner_storage"  # Prefect's, with one empty folder in it for as long as a worker runs
BUSY = 503
LEASE_S = 60  # of a killed run, which loses it before that to the next that wants it
MORE_FILES, MORE_MB = 3, 0.3  # from the second third of the runs to the last; for each run


@dataclass(frozen=True)
class Place:
    """The folders and addresses that the runs share."""

    here: BroughtUp
    simulator: str
    scratch: Path
    known: set[str] = field(default_factory=set)  # what was left behind, and has been said

    @property
    def data(self) -> Path:
        return self.scratch / "data"

    def service(self, name: str) -> list[psutil.Process]:
        """The worker's or the server's own processes, without those of flow runs."""
        found = Service(name, [], Path(self.here.environment["PREFECT_HOME"])).processes
        return [process for process in found if flow_run_of(process) is None]


@dataclass(frozen=True)
class Row:
    """One run: its problems, and the files and memory of worker and server afterwards."""

    kind: str
    state: str
    took_s: float
    turn_s: float | None
    wrong: list[str]
    usage: dict[str, tuple[int, float]]  # of worker and server: open files, resident memory (MB)


def main() -> int:
    """Print a line for each run as it ends, then what grew; returns 1 where anything is wrong."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    console = Console(width=150)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True)))
        place = Place(up(scratch, stack), stack.enter_context(running_simulator("fast")), scratch)
        rows: list[Row] = []
        with suppress(KeyboardInterrupt):  # what has run by then counts
            rows.extend(shown(console, number, one_run(place, KINDS[number % len(KINDS)])) for number in range(runs))
        left = left_at_the_end(place)
    growing = growth(rows, console)
    wrong = [*(words for row in rows for words in row.wrong), *left, *growing]
    console.print(
        f"{len(rows)} runs: " + ("\n  ".join(["", *wrong]) if wrong else "nothing hung, stayed behind or grew")
    )
    return 1 if wrong else 0


def up(scratch: Path, stack: ExitStack) -> BroughtUp:
    own = {"TMPDIR": scratch / "tmp", "XDG_CACHE_HOME": scratch / "cache"}
    for folder in own.values():
        folder.mkdir()
    made = brought_up_in(scratch / "home")
    quick = {"PREFECT_WORKER_QUERY_SECONDS": "1"}  # what a worker does between two runs is the same
    here = replace(made, environment=made.environment | quick | {name: str(folder) for name, folder in own.items()})
    stack.callback(here.make, "down")
    done = here.up()
    if done.code:
        raise SystemExit(done.stdout + done.stderr)
    return here


def one_run(place: Place, kind: str) -> Row:
    begun_s = time.monotonic()
    run = started(place.here, {"spec": spec(place, kind)})
    run_id = run.rpartition("/")[2]
    if kind == "killed" and waited(lambda: is_measuring(place.data, run_id), END_S):
        kill(run_id)
    waited(lambda: state(run) in FINAL, END_S)
    took_s, ended_as, turn_s = time.monotonic() - begun_s, state(run), turn(place.here.api, run)
    wrong = [f"it is {ended_as}, not {ENDS_AS[kind]}"] if ended_as != ENDS_AS[kind] else []
    if turn_s is None or turn_s > TURN_S:
        wrong.append(f"its first task began {turn_s} s after it")
    return Row(kind, ended_as, took_s, turn_s, [*wrong, *left_behind(place, run_id)], usage(place))


def started(here: BroughtUp, parameters: dict[str, Any]) -> str:
    """The address of a new run of the deployment ad-hoc."""
    [deployment] = request(f"{here.api}/deployments/filter", {"deployments": {"name": {"any_": ["ad-hoc"]}}})
    run = request(f"{here.api}/deployments/{deployment['id']}/create_flow_run", {"parameters": parameters})
    return f"{here.api}/flow_runs/{run['id']}"


def left_behind(place: Place, run_id: str) -> list[str]:
    """List what a run leaves behind after it had time to go and the flow `watch` that follows it is over."""

    def left() -> list[str]:
        commands = [f"process left: {command(process)}" for process in processes_of(run_id)]
        return [words for words in [*commands, *left_files(place), *held_locks(place)] if words not in place.known]

    waited(lambda: not unfinished(place.here.api), END_S)
    waited(lambda: not left(), GONE_S)
    found = left()
    place.known.update(found)
    return found


def spec(place: Place, kind: str) -> dict[str, Any]:
    return {
        "endpoint": {"url": place.simulator, "model": LLAMA},
        "workload": {"output_tokens": {"mean": 20, "stddev": 2}},
        "load": LOADS[kind],
        "on_invalid": "fail" if kind == "failing" else "mark",
        "data": str(place.data),
    }


def is_measuring(data: Path, flow_run_id: str) -> bool:
    """Return whether samples of the run are on disk already."""
    run_id = of_flow_run(data, flow_run_id)
    parts = (data / "runs" / run_id).glob("level-*.parquet.*.arrow") if run_id else ()
    return any(part.stat().st_size > 10_000 for part in parts)


def kill(run_id: str) -> None:
    """Its flow's process only; what that has started is to end by itself."""
    for process in processes_of(run_id):
        if "prefect.engine" in command(process):
            process.kill()


def state(run: str) -> str:
    kind: str = request(run)["state"]["type"]
    return kind


def turn(api: str, run: str) -> float | None:
    """Seconds from the flow's start to that of its first task, in between which it waits for its turn."""
    flow = request(run)
    wanted = {"flow_runs": {"id": {"any_": [flow["id"]]}}}
    begun = sorted(task["start_time"] for task in request(f"{api}/task_runs/filter", wanted) if task["start_time"])
    if not begun or not flow["start_time"]:
        return None
    return (datetime.fromisoformat(begun[0]) - datetime.fromisoformat(flow["start_time"])).total_seconds()


def processes_of(run_id: str) -> list[psutil.Process]:
    """List the processes of a flow run, by the environment that they inherit from the worker."""
    return [process for process in psutil.process_iter() if flow_run_of(process) == run_id]


def command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def flow_run_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("PREFECT__FLOW_RUN_ID")
    except (psutil.Error, OSError):
        return None


def left_files(place: Place) -> list[str]:
    """Files that are no result: half-written ones in the data folder, and any in the temporary folder."""
    temporary = place.scratch / "tmp"
    found = [path for pattern in LEFT_OVER for path in place.data.glob(pattern)]
    found += [path for path in temporary.iterdir() if path.name != WORKERS]
    found += sorted((temporary / WORKERS).glob("*"))[1:]
    return [f"file left: {path.relative_to(place.scratch)}" for path in found]


def held_locks(place: Place) -> list[str]:
    """List lock files that are held although no run is in progress."""
    files = [file for folder in (place.data, place.scratch / "cache") for file in folder.rglob("*.lock")]
    return [f"lock held: {file.relative_to(place.scratch)}" for file in files if is_held(file)]


def is_held(file: Path) -> bool:
    with file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def usage(place: Place) -> dict[str, tuple[int, float]]:
    found = {name: place.service(name) for name in ("worker", "server")}
    return {
        name: (sum(p.num_fds() for p in of_it), sum(p.memory_info().rss for p in of_it) / 1e6)
        for name, of_it in found.items()
    }


def left_at_the_end(place: Place) -> list[str]:
    """Flow runs that do not end, processes of any, and slots of endpoints that are taken for longer than a lease."""
    api = place.here.api
    waited(lambda: not unfinished(api), END_S)
    waited(lambda: not taken(api), LEASE_S + GONE_S)
    waited(lambda: not children(place), GONE_S)
    return [
        *(f"flow run that has not ended: {name}" for name in unfinished(api)),
        *(f"slot taken: {name}" for name in taken(api)),
        *(f"process left: {child.pid} {child.status()} {command(child)}" for child in children(place)),
    ]


def children(place: Place) -> list[psutil.Process]:
    """Zombies, too."""
    return [child for process in place.service("worker") for child in process.children(recursive=True)]


def unfinished(api: str) -> list[str]:
    wanted = {"flow_runs": {"state": {"type": {"not_any_": [*FINAL]}}}}
    return [run["name"] for run in request(f"{api}/flow_runs/filter", wanted)]


def taken(api: str) -> list[str]:
    limits = request(f"{api}/v2/concurrency_limits/filter", {})
    return [limit["name"] for limit in limits if limit["active_slots"] and limit["name"].startswith("shapebench-")]


def request(url: str, wanted: dict[str, Any] | None = None) -> Any:
    """Return the server's answer; requests to a busy server are repeated, as in Prefect's own client."""
    method, end_s = "GET" if wanted is None else "POST", time.monotonic() + END_S
    while True:
        answer = httpx.request(method, url, json=wanted, timeout=END_S)
        if answer.status_code != BUSY or time.monotonic() > end_s:
            return answer.raise_for_status().json()
        time.sleep(1)


def waited(condition: Callable[[], Any], at_most_s: float) -> bool:
    """Wait for a condition; returns whether it came true in time."""
    end_s = time.monotonic() + at_most_s
    while not (true := condition()) and time.monotonic() < end_s:
        time.sleep(0.1)
    return bool(true)


def shown(console: Console, number: int, row: Row) -> Row:
    if number == 0:
        console.print("  run  kind     state      took (s)  turn (s)  worker: files, MB   server: files, MB  wrong")
    turn_s = "-" if row.turn_s is None else f"{row.turn_s:.2f}"
    used = "".join(f"{files:>10} {mb:>10.1f}" for files, mb in row.usage.values())
    words = f"{number + 1:>5}  {row.kind:<8} {row.state:<10} {row.took_s:>8.1f} {turn_s:>9}{used}"
    console.print(words, "; ".join(row.wrong), highlight=False, soft_wrap=True)
    return row


def growth(rows: list[Row], console: Console) -> list[str]:
    """Print how open files and memory went, by thirds of the runs; returns what grows, in words.

    The first third is let pass: caches fill, and the server opens its connections.
    """
    third = len(rows) // 3
    if third < len(KINDS):
        return []
    table = Table(
        "", "files at least, by thirds", "MB (median), by thirds", "MB a run, from the second third on", box=None
    )
    grown = []
    for name in rows[0].usage:
        files, memory_mb = ([row.usage[name][what] for row in rows] for what in (0, 1))
        least = [min(part) for part in thirds(files, third)]
        medians = [statistics.median(part) for part in thirds(memory_mb, third)]
        slope = statistics.linear_regression(range(len(rows) - third), memory_mb[third:]).slope
        table.add_row(name, *(", ".join(f"{value:.0f}" for value in part) for part in (least, medians)), f"{slope:.2f}")
        grown += [f"the {name} has more files open: {least}"] if least[2] - least[1] >= MORE_FILES else []
        grown += [f"the {name} grows by {slope:.2f} MB a run"] if slope > MORE_MB else []
    console.print(table)
    return grown


def thirds(values: list[float], third: int) -> list[list[float]]:
    return [values[:third], values[third:-third], values[-third:]]


if __name__ == "__main__":
    sys.exit(main())
