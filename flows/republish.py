"""A stored run's report, drawn anew and sent again."""

from pathlib import Path

from prefect import flow

from shapebench.runs import run_file as runs
from shapebench.runs.records import Artifact
from tasks.draw import draw
from tasks.publish import publish


@flow(name="republish")
def republish(run_id: str, data: Path = Path("data")) -> list[Artifact]:
    """Draw the report of a run that is in the data folder, and send it to where the run's spec publishes.

    For a run whose upload failed, or after a change of how reports look; nothing is measured.

    Args:
        run_id: Which run, such as 20261125T065930-231414; `shapebench runs` lists them.
        data: The folder that holds results.duckdb and the runs, on the machine of the worker.
    """
    run = runs.load(data, run_id).run
    draw(run)
    return publish(run)
