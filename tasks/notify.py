"""Reports of the end of a run: artifacts in the Prefect UI, an event for automations, a line in the log."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefect import artifacts, task
from prefect.cache_policies import NO_CACHE

from shapebench.analysis.conclusion import Conclusion
from shapebench.report.charts import figure2
from shapebench.report.markdown import Picture, report_artifact, verdict_artifact
from shapebench.report.pages.columns import COLUMNS
from shapebench.results import views
from shapebench.runs.records import Artifact, Run, Verdict
from shapebench.support.endpoint_id import endpoint_id
from shapebench.support.run_log import milestone
from tasks.prefect.events import emit_endpoint_event

FINISHED = "shapebench.run.finished"


@task(name="notify", cache_policy=NO_CACHE)
def notify(run: Run, verdict: Verdict, conclusion: Conclusion, report: Path, published: list[Artifact]) -> None:
    """Create the artifacts and emit the event; a failure is only logged, since the results are stored already."""
    try:
        for artifact in _artifacts(run, verdict, conclusion, report, published):
            artifact.create()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the Prefect server
        milestone("notify", "not all artifacts could be made: {error}", logging.WARNING, error=str(error))
    endpoint = run.spec.endpoint
    emit_endpoint_event(
        FINISHED,
        (endpoint.url, endpoint.model, endpoint.shape),
        {"run_id": run.run_id, "verdict": verdict.status},
        {"headline": conclusion.headline, "data": str(run.spec.data.resolve())},
    )
    milestone("done", "{verdict}: {headline}", verdict=verdict.status, headline=conclusion.headline)


def _artifacts(
    run: Run, verdict: Verdict, conclusion: Conclusion, report: Path, published: list[Artifact]
) -> Iterator[artifacts.Artifact]:
    """Make the artifacts; their keys contain the endpoint, so the UI shows the runs of one endpoint in sequence."""
    endpoint = run.spec.endpoint
    name, of = endpoint_id(endpoint.url, endpoint.model, endpoint.shape), f"of run {run.run_id}"
    pictures = _pictures(report.parent)
    answer, page = f"{verdict.status}: {conclusion.headline}", verdict_artifact(run, verdict, conclusion, pictures)
    places = report_artifact(report, published)
    yield artifacts.MarkdownArtifact(key=f"verdict-{name}", description=answer, markdown=page)
    yield artifacts.TableArtifact(key=f"levels-{name}", description=f"Levels {of}", table=_levels(run))
    for picture in pictures:
        what = f"{picture.title}, {of}"
        yield artifacts.ImageArtifact(key=f"{picture.name}-{name}", description=what, image_url=picture.url)
    yield artifacts.MarkdownArtifact(key=f"report-{name}", description=f"Report {of}", markdown=places)


def _pictures(report: Path) -> list[Picture]:
    """Read the plots of the article's Figure 2, which were drawn with the report."""
    return [Picture.read(c.name, c.title, report / f"{c.name}.svg") for c in (figure2.QUERY, figure2.TTFT)]


def _levels(run: Run) -> list[dict[str, str]]:
    """Build the report's table; no cell contains text of a server, which the UI might parse as Markdown."""
    rows: Any = views.read_levels(run.spec.data, "level_summary", run.run_id).to_dict("records")
    return [{**{c.name: c.cell(row) for c in COLUMNS}, "Verdict": row["verdict"]} for row in rows]
