"""Overhead of the pipeline: wall time minus the time of its levels.

    python -m bench.overhead [RUNS]

For the whole command `shapebench run`, with the start of Python, its imports and the Prefect server of the run, and for
the flow in it, from its start to its final state. Then for the flow at a worker, with a server that runs already, by
its tasks, and with the time between when it was due and when it began: the worker's poll, and Prefect's start of a
process. A first run of each warms PREFECT_HOME and is not counted. Against the simulator's preset `fast`, six levels of
320 requests. Calibration is not included, since it is measuring, too. Finally the time of `shapebench --help`.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from shapebench.results import database
from shapebench.test_servers.simulator.presets import LLAMA
from shapebench.test_servers.simulator.process import running_simulator
from tests.conftest import BroughtUp, brought_up_in, ended

ARGUMENTS = ("--levels", "1,2,4,8,16,32", "--requests", "320", "--no-calibrate", "--json")
LOAD = {"levels": [1, 2, 4, 8, 16, 32], "requests": 320, "calibrate": False}


def main() -> None:
    """Print three tables: each run, or stage, and medians."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch, running_simulator("fast") as url:
        in_a_shell(url, Path(scratch), runs)
        at_a_worker(url, Path(scratch), runs)
    help_s = statistics.median(map(help_takes, range(runs)))
    Console().print(f"shapebench --help: {help_s:.2f} s")


def help_takes(_run: int) -> float:
    """Time the installed command's `--help`, in seconds."""
    begun_s = time.monotonic()
    subprocess.run([Path(sys.executable).with_name("shapebench"), "--help"], check=True, capture_output=True)
    return time.monotonic() - begun_s


def in_a_shell(url: str, scratch: Path, runs: int) -> None:
    timings = [one_run(url, scratch) for _ in range(runs + 1)][1:]
    table = Table("run", "measuring (s)", "flow (s)", "overhead (s)", "command (s)", "overhead (s)", box=None)
    rows = [(m, flow, flow - m, command, command - m) for m, flow, command in timings]
    medians = tuple(map(statistics.median, zip(*rows, strict=True)))
    for name, row in [*enumerate(rows, 1), ("median", medians)]:
        table.add_row(str(name), *(f"{value:.1f}" for value in row))
    Console().print(table)


def at_a_worker(url: str, scratch: Path, runs: int) -> None:
    here = brought_up_in(scratch / "up")
    try:
        assert here.up().code == 0
        found = [by_stage(here, scratch / "at-a-worker", url) for _ in range(runs + 1)][1:]
    finally:
        here.make("down")
    table = Table("at a worker", *map(str, range(1, runs + 1)), "median (s)", box=None)
    for stage in found[0]:
        row = [run[stage] for run in found]
        table.add_row(stage, *(f"{value:.2f}" for value in (*row, statistics.median(row))))
    Console().print(table)


def by_stage(here: BroughtUp, data: Path, url: str) -> dict[str, float]:
    """Seconds of a new flow run."""
    spec = {"endpoint": {"url": url, "model": LLAMA}, "load": LOAD, "data": str(data)}
    address = here.start("ad-hoc", {"spec": spec})
    assert ended(address)["type"] == "COMPLETED", address
    return split(here.api, httpx.get(address).json(), data)


def split(api: str, flow: dict[str, Any], data: Path) -> dict[str, float]:
    """Seconds of a flow run: until it began, overhead, and what that is made of."""
    wanted = {"flow_runs": {"id": {"any_": [flow["id"]]}}}
    tasks: dict[str, float] = defaultdict(float)
    for task in httpx.post(f"{api}/task_runs/filter", json=wanted | {"sort": "EXPECTED_START_TIME_ASC"}).json():
        tasks[task["name"].partition("-")[0]] += seconds(task, "start_time", "end_time")
    flow_s = seconds(flow, "start_time", "end_time")
    levels_s = measuring_s(data, Path(flow["state"]["message"]).parent.name)
    tasks["measure"] -= levels_s
    beside_s = flow_s - levels_s
    between = {"overhead of the flow": beside_s, **tasks, "between tasks": beside_s - sum(tasks.values())}
    return {"due to begun": seconds(flow, "expected_start_time", "start_time"), "measuring": levels_s, **between}


def seconds(run: dict[str, Any], first: str, last: str) -> float:
    return (datetime.fromisoformat(run[last]) - datetime.fromisoformat(run[first])).total_seconds()


def one_run(url: str, scratch: Path) -> tuple[float, float, float]:
    """Return the seconds of measuring, of the flow, and of the whole command."""
    command = [sys.executable, "-m", "cli", "run", "--url", url, "--model", LLAMA, *ARGUMENTS]
    environment = {**os.environ, "PREFECT_HOME": str(scratch / "prefect"), "PREFECT_LOGGING_LEVEL": "INFO"}
    begun_s = time.time()
    done = subprocess.run([*command, "--data", str(scratch)], env=environment, capture_output=True, check=True)
    command_s = time.time() - begun_s
    return measuring_s(scratch, json.loads(done.stdout)["run_id"]), flow_s(done.stderr.decode()), command_s


def measuring_s(data: Path, run_id: str) -> float:
    sql = "SELECT sum(wall_s) AS s FROM level_summary WHERE run_id = ?"
    return float(database.query(data, sql, [run_id]).to_pylist()[0]["s"])


def flow_s(log: str) -> float:
    """From Prefect's log lines about the flow run: `HH:MM:SS.mmm | INFO    | Flow run …`."""
    times = [line[:12] for line in log.splitlines() if "| Flow run " in line]
    begun, ended = (datetime.strptime(f"{t}+0000", "%H:%M:%S.%f%z") for t in (times[0], times[-1]))
    return (ended - begun).total_seconds() % timedelta(days=1).total_seconds()


if __name__ == "__main__":
    main()
