"""What the pipeline costs beside measuring: wall time less the time that its levels took.

    python bench/overhead.py [RUNS]

Once for the flow, from its start to its final state, and once for the whole command `shapebench run`, with the start of
Python, its imports and the Prefect server of the run. A first run warms PREFECT_HOME and is not counted. Against the
simulator's preset `fast`, six levels of 320 requests. Trying the client out is left out: it is measuring, too.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from shapebench import warehouse
from shapebench.simulator.presets import LLAMA
from shapebench.simulator.process import running

ARGUMENTS = ("--levels", "1,2,4,8,16,32", "--requests", "320", "--no-calibrate", "--json")


def main() -> None:
    """Print wall time, measuring time and the difference, for each run and as medians."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as scratch, running("fast") as url:
        timings = [one_run(url, Path(scratch)) for _ in range(runs + 1)][1:]
    table = Table("run", "measuring (s)", "flow (s)", "overhead (s)", "command (s)", "overhead (s)", box=None)
    rows = [(m, flow, flow - m, command, command - m) for m, flow, command in timings]
    medians = tuple(map(statistics.median, zip(*rows, strict=True)))
    for name, row in [*enumerate(rows, 1), ("median", medians)]:
        table.add_row(str(name), *(f"{value:.1f}" for value in row))
    Console().print(table)


def one_run(url: str, scratch: Path) -> tuple[float, float, float]:
    """Seconds of measuring, of the flow, and of the whole command."""
    command = [sys.executable, "-m", "shapebench.cli", "run", "--url", url, "--model", LLAMA, *ARGUMENTS]
    environment = {**os.environ, "PREFECT_HOME": str(scratch / "prefect"), "PREFECT_LOGGING_LEVEL": "INFO"}
    begun_s = time.time()
    done = subprocess.run([*command, "--data", str(scratch)], env=environment, capture_output=True, check=True)
    command_s = time.time() - begun_s
    return measuring_s(scratch, json.loads(done.stdout)["run_id"]), flow_s(done.stderr.decode()), command_s


def measuring_s(data: Path, run_id: str) -> float:
    sql = "SELECT sum(wall_s) AS s FROM level_summary WHERE run_id = ?"
    return float(warehouse.query(data, sql, [run_id]).to_pylist()[0]["s"])


def flow_s(log: str) -> float:
    """From Prefect's log lines about the flow run: `HH:MM:SS.mmm | INFO    | Flow run …`."""
    times = [line[:12] for line in log.splitlines() if "| Flow run " in line]
    begun, ended = (datetime.strptime(f"{t}+0000", "%H:%M:%S.%f%z") for t in (times[0], times[-1]))
    return (ended - begun).total_seconds() % timedelta(days=1).total_seconds()


if __name__ == "__main__":
    main()
