"""Page that compares runs."""

import logging
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import MarkdownArtifact
from prefect.cache_policies import NO_CACHE

from shapebench.report.build_comparison import Comparison, ComparisonRequest, find_runs
from shapebench.report.build_comparison import compare as compare_runs
from shapebench.report.markdown import comparison_artifact
from shapebench.support.run_log import milestone


@task(name="compare", cache_policy=NO_CACHE)
def compare(
    runs: list[str],
    data: Path,
    view: str | None = None,
    users: int | None = None,
    prices: dict[str, float] | None = None,
) -> Comparison:
    compared = compare_runs(ComparisonRequest(data, find_runs(data, runs), prices or {}, users), view)
    _show(compared.answer)
    return compared


def _show(answer: dict[str, Any]) -> None:
    """Show the comparison in the Prefect UI, with others of the same view; a failure is only logged."""
    content = {"description": answer["headline"], "markdown": comparison_artifact(answer)}
    try:
        MarkdownArtifact(key=f"comparison-{answer['view']}", **content).create()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the Prefect server
        milestone("compare", "no artifact could be made: {error}", logging.WARNING, error=str(error))
