"""Report of a run: a self-contained page, PNG and SVG."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.report.build import build_report
from shapebench.runs.records import Run
from shapebench.support.run_log import milestone


@task(name="report", cache_policy=NO_CACHE)
def report(run: Run) -> Path:
    """Build the report of a stored run; returns its page."""
    page = build_report(run.spec.data, run.run_id)
    milestone("report", "the report is {page}", page=str(page))
    return page
