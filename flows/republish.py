"""Build the report of a stored run again and publish it."""

from pathlib import Path

from prefect import flow

from shapebench.runs import run_file as runs
from shapebench.runs.records import Artifact
from tasks.publish import publish
from tasks.report import report


@flow(name="republish")
def republish(run_id: str, data: Path = Path("data")) -> list[Artifact]:
    """Build the report of a run in the data folder again, and publish it where the run's spec says.

    For a run whose upload failed, or after a change of how reports look; nothing is measured.

    Args:
        run_id: Which run, such as 20261125T065930-231414; `shapebench runs` lists them.
        data: The folder that holds results.duckdb and the runs, on the machine of the worker.
    """
    run = runs.load(data, run_id).run
    report(run)
    return publish(run)
