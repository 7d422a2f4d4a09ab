"""One self-contained page, PNG and SVG."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.records import Run


@task(name="draw", cache_policy=NO_CACHE)
def draw(run: Run) -> Path:
    from shapebench.draw import draw as draw_report  # Altair's import, never while measuring

    return draw_report(run.spec.data, run.run_id)
