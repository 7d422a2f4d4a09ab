"""One self-contained page, PNG and SVG."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.report.build import draw as draw_report
from shapebench.runs.records import Run
from shapebench.support.run_log import milestone


@task(name="draw", cache_policy=NO_CACHE)
def draw(run: Run) -> Path:
    report = draw_report(run.spec.data, run.run_id)
    milestone("draw", "the report is {report}", report=str(report))
    return report
