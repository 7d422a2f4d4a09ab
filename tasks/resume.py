"""Choice of the run to resume: a given one, or the own run of a retried flow run."""

from prefect.runtime import flow_run

from shapebench.analysis.early_stop import is_measured
from shapebench.errors import ShapebenchError
from shapebench.runs import resume
from shapebench.runs.run_file import RunFile
from shapebench.spec.model import Spec
from shapebench.support.run_log import milestone

MAX_STARTS = 5


class RepeatedInterruptionError(ShapebenchError):
    """The run was interrupted too often."""


def earlier_run(spec: Spec, run_id: str) -> RunFile | None:
    """Find the run to resume by its id, '' for none; None: a new run.

    A flow run that is retried resumes its own run, and never measures the same level twice.
    """
    earlier = resume.find(spec.data, run_id or None, flow_run.id if flow_run.run_count > 1 else None)
    if earlier and flow_run.run_count > MAX_STARTS:
        name = earlier.run.run_id
        raise RepeatedInterruptionError(
            f"Run {name} was interrupted {flow_run.run_count - 1} times.",
            f"Find the cause, such as too little memory; then `shapebench resume {name}`, or --as-is to stop here.",
        )
    if earlier and is_measured(earlier):
        milestone("resume", "nothing is left to measure of run {run_id}", run_id=earlier.run.run_id)
    return earlier
