"""Check whether a run is worse than those before it."""

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
    found = check_run(data, run_id, rule)
    judged = found.check
    milestone("watch", "{run}: {headline}", LEVELS[judged.severity], run=found.run_id, headline=judged.headline)
    emit_endpoint_event(
        f"shapebench.{judged.known}",
        (found.url, found.model, found.shape),
        {"run_id": found.run_id, "severity": judged.severity},
        {**found.to_dict(), "data": str(data.resolve())},
    )
    return found
