"""Which run a flow run is about: a new one, unless it is told to resume another, or is retried itself."""

from prefect.runtime import flow_run

from shapebench.analysis.early_stop import is_measured
from shapebench.errors import ShapebenchError
from shapebench.runs import resume
from shapebench.runs.run_file import RunFile
from shapebench.spec.model import Spec
from shapebench.support.run_log import milestone

MOST_STARTS = 5


class RepeatedInterruptionError(ShapebenchError):
    """Something breaks the run off time after time."""


def earlier_run(spec: Spec, run_id: str) -> RunFile | None:
    """The run to go on with, by its name ('': none); None: a new one.

    A flow run that is retried goes on with its own, and never measures the same level twice.
    """
    earlier = resume.find(spec.data, run_id or None, flow_run.id if flow_run.run_count > 1 else None)
    if earlier and flow_run.run_count > MOST_STARTS:
        name = earlier.run.run_id
        raise RepeatedInterruptionError(
            f"Run {name} has been broken off {flow_run.run_count - 1} times.",
            f"See why (is there memory enough?); then `shapebench resume {name}`, or --as-is for what is measured.",
        )
    if earlier and is_measured(earlier):
        milestone("resume", "nothing is left to measure of run {run_id}", run_id=earlier.run.run_id)
    return earlier
