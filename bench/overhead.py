"""What the pipeline costs beside measuring: `shapebench run` as a process, less the time its levels took.

    python bench/overhead.py [RUNS]

The first run warms PREFECT_HOME (its server's database) and is not counted. Against the simulator's preset `fast`.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from shapebench import warehouse
from shapebench.simulator.process import running

MODEL = "meta-llama/Llama-3.2-3B-Instruct"
ARGUMENTS = ("--levels", "1,2,4,8,16,32", "--requests", "320", "--json")


def main() -> None:
    """Print wall time, measuring time and the difference, for each run and as medians."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as scratch, running("fast") as url:
        timings = [one_run(url, Path(scratch)) for _ in range(runs + 1)][1:]
    table = Table("run", "wall (s)", "measuring (s)", "overhead (s)", box=None)
    for number, (wall_s, measuring_s) in enumerate(timings, 1):
        table.add_row(str(number), f"{wall_s:.1f}", f"{measuring_s:.1f}", f"{wall_s - measuring_s:.1f}")
    medians = [statistics.median(column) for column in zip(*timings, strict=True)]
    overhead_s = statistics.median(wall_s - measuring_s for wall_s, measuring_s in timings)
    table.add_row("median", *(f"{median:.1f}" for median in medians), f"{overhead_s:.1f}")
    Console().print(table)


def one_run(url: str, scratch: Path) -> tuple[float, float]:
    """Wall time of the whole command, start of Python included, and of its levels (s)."""
    command = [sys.executable, "-m", "shapebench.cli", "run", "--url", url, "--model", MODEL, *ARGUMENTS]
    environment = {**os.environ, "PREFECT_HOME": str(scratch / "prefect")}
    begun_s = time.perf_counter()
    done = subprocess.run([*command, "--data", str(scratch)], env=environment, capture_output=True, check=True)
    wall_s = time.perf_counter() - begun_s
    run_id = json.loads(done.stdout)["run_id"]
    levels = warehouse.query(scratch, "SELECT sum(wall_s) AS s FROM level_summary WHERE run_id = ?", [run_id])
    return wall_s, levels.to_pylist()[0]["s"]


if __name__ == "__main__":
    main()
