"""Regression check of a run against earlier ones; automations forward its event."""

from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from shapebench.analysis.regression import Rule
from shapebench.results.regression import RunCheck
from tasks.check_regression import check_regression


@flow(name="watch")
def watch(run_id: str = "", data: Path = Path("data"), rule: Rule = Rule()) -> State[RunCheck]:  # noqa: B008
    """Compare a run with earlier ones of the same endpoint and workload, and report the result in an event.

    Args:
        run_id: The run to check. Empty: the newest.
        data: The data folder with results.duckdb.
        rule: The rule by which a run counts as worse.
    """
    result = check_regression(data, run_id or None, rule)
    return Completed(message=f"{result.check.severity}: {result.check.headline}", data=result)
