"""Check whether a run is worse than earlier ones."""

import logging
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.analysis.regression import Rule
from shapebench.results.regression import RunCheck, check_run
from shapebench.support.run_log import milestone
from tasks.prefect.events import emit_endpoint_event

LEVELS = {"none": logging.INFO, "notice": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}


@task(name="check-regression", cache_policy=NO_CACHE)
def check_regression(data: Path, run_id: str | None, rule: Rule) -> RunCheck:
    """Compare a run with earlier ones; emit the event regression, no-regression or cannot-tell of shapebench."""
    result = check_run(data, run_id, rule)
    check = result.check
    milestone("watch", "{run}: {headline}", LEVELS[check.severity], run=result.run_id, headline=check.headline)
    emit_endpoint_event(
        f"shapebench.{check.known}",
        (result.url, result.model, result.shape),
        {"run_id": result.run_id, "severity": check.severity},
        {**result.to_dict(), "data": str(data.resolve())},
    )
    return result
