"""Time from a cancel to the end of the load.

    python -m bench.cancel [RUNS]

A Prefect server, a worker and the deployments, as `make up` makes them; the simulator's preset `fast`; the deployment
ad-hoc with 8 streams, cancelled while it measures, by the API call of the button in the Prefect UI. Prints the seconds
until the server received its last request and sent its last token, by its own log, and until the run was Cancelled.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from shapebench.test_servers.simulator.process import running_simulator
from tests.conftest import BroughtUp, brought_up_in, ended
from tests.flow_runs import is_measured, set_state, spec, wait_until

STREAMS = 8
COLUMNS = ("last request (s)", "last token (s)", "Cancelled (s)")


def main() -> None:
    """Print a line for each run, and the maximum of each number."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        here = brought_up_in(Path(scratch) / "up")
        try:
            assert here.up().code == 0
            rows = [one_run(here, Path(scratch) / str(number)) for number in range(runs)]
        finally:
            here.make("down")
    table = Table("run", *COLUMNS, box=None)
    columns = [*zip(*rows, strict=True)]
    for name, row in (*enumerate(rows, 1), ("median", map(statistics.median, columns)), ("most", map(max, columns))):
        table.add_row(str(name), *(f"{value:.2f}" for value in row))
    Console().print(table)


def one_run(here: BroughtUp, folder: Path) -> tuple[float, float, float]:
    data, log = folder / "data", folder / "truth.jsonl"
    folder.mkdir()
    with running_simulator("fast", log=log) as url:
        run = here.start("ad-hoc", {"spec": spec(url, data, [STREAMS], duration_s=600)})
        wait_until(lambda: is_measured(data, STREAMS))
        asked_s = time.time()
        set_state(run, "CANCELLING", "Cancelling")
        assert ended(run)["type"] == "CANCELLED", httpx.get(run).json()["state"]
        cancelled_s = time.time()
    truth = [json.loads(line) for line in log.read_bytes().splitlines()]
    received_s, sent_s = (max(line[name] or 0 for line in truth) / 1e9 for name in ("received_ns", "last_token_ns"))
    return received_s - asked_s, sent_s - asked_s, cancelled_s - asked_s


if __name__ == "__main__":
    main()
