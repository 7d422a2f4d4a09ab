"""Build the report of a stored run again and publish it."""

from pathlib import Path

from prefect import flow

from shapebench.runs import run_file
from shapebench.runs.records import Artifact
from tasks.publish import publish
from tasks.report import report


@flow(name="republish")
def republish(run_id: str, data: Path = Path("data")) -> list[Artifact]:
    """Build the report of a run in the data folder again, and publish it as the run's spec says.

    Use it after a failed upload, or after a change of the report's design; nothing is measured.

    Args:
        run_id: Id of the run, such as 20261125T065930-231414; `shapebench runs` lists them.
        data: The data folder with results.duckdb and the runs, on the machine of the worker.
    """
    run = run_file.load(data, run_id).run
    report(run)
    return publish(run)
