"""Main flow: how many users can this endpoint serve within the SLOs?

Its imports take seconds. They are done before a run begins, and so never while it measures: a worker starts the process
of a scheduled run some seconds before its time, and `shapebench run` imports while its Prefect server starts.
"""

from dataclasses import dataclass
from pathlib import Path

from prefect import flow, unmapped
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from shapebench.analysis.capacity.search import next_step
from shapebench.analysis.capacity.steps import begin, run_for_step
from shapebench.analysis.conclusion import Conclusion, conclude
from shapebench.analysis.early_stop import is_measured
from shapebench.analysis.measured_level import level_frame
from shapebench.probe.host import detect_shape
from shapebench.probe.launch import serving
from shapebench.runs.records import Artifact, LevelRun, Run, ServerFacts, Verdict
from shapebench.runs.resume import in_progress
from shapebench.runs.run_file import RunFile, restore_secrets
from shapebench.spec.model import Spec
from shapebench.support.child_processes import stopped_on_error
from tasks.calibrate import calibrate
from tasks.capacity import check_slos
from tasks.measure import measure
from tasks.notify import notify
from tasks.prefect.blocks import credentials_from_blocks
from tasks.prefect.exclusive import exclusive_use
from tasks.prefect.progress import show_progress
from tasks.probe import probe
from tasks.publish import publish
from tasks.report import report as build_report
from tasks.resume import earlier_run
from tasks.store import store
from tasks.summarise import summarise
from tasks.validate import validate


@dataclass(frozen=True)
class Outcome:
    """Result of a finished run."""

    run_id: str
    verdict: Verdict
    conclusion: Conclusion
    database: Path
    report: Path
    published: list[Artifact]
    publish_error: str | None = None


# One worker: levels never overlap on an endpoint.
@flow(name="benchmark", task_runner=ThreadPoolTaskRunner(max_workers=1))  # type: ignore[arg-type]
def benchmark(spec: Spec, resume: str = "") -> State[Outcome]:
    """Measure an LLM endpoint at each concurrency level and report how many users it serves within the SLOs.

    Results and report go to the data folder; a copy of the report is published as the spec says.

    Args:
        spec: What to measure, and how.
        resume: Id of an interrupted run in the data folder, such as 20261125T065930-231414. It is resumed with its own
            spec; only the data folder is taken from the spec above. Empty: a new run. A retried flow run resumes its
            own run.
    """
    run, facts, levels = measure_exclusively(spec, earlier_run(spec, resume))
    summaries = summarise(run, facts, levels)
    verdict = validate(run, summaries)
    conclusion = conclude(level_frame(summaries, verdict), run.spec.limits, verdict.status, run.spec.load)
    database = store(run, facts, summaries, verdict, conclusion)
    report = build_report(run)
    published, publish_error = _result(publish(run, return_state=True))
    notify(run, verdict, conclusion, report, published)
    return final_state(run.spec, Outcome(run.run_id, verdict, conclusion, database, report, published, publish_error))


def measure_exclusively(spec: Spec, earlier: RunFile | None) -> tuple[Run, ServerFacts, list[LevelRun]]:
    """Probe and measure with exclusive use of the endpoint; the spec may say how to start its server."""
    if earlier and earlier.facts and is_measured(earlier):
        return earlier.run, earlier.facts, [*earlier.measured]
    spec = restore_secrets(earlier.run.spec, spec) if earlier else detect_shape(spec)
    with (
        credentials_from_blocks(spec),
        exclusive_use(spec.endpoint, spec.when_busy),
        in_progress(spec, earlier, flow_run.id) as begun,
    ):
        run = begun.run
        with serving(spec.endpoint, run.server_log) as still_starting, stopped_on_error():
            facts = probe(run, still_starting)
            if run.spec.search:
                return search_levels(begun, facts)
            calibrations = calibrate.map(unmapped(run), begun.to_measure).result()
            with show_progress(run):
                measured = measure.map(unmapped(run), unmapped(facts), calibrations).result()
            return run, facts, [*begun.measured, *filter(None, measured)]


def search_levels(begun: RunFile, facts: ServerFacts) -> tuple[Run, ServerFacts, list[LevelRun]]:
    """Search for the highest concurrency that meets the SLOs: each result determines the next level.

    If a level is measured twice, the second result counts.
    """
    run, levels = begun.run, [*begun.measured]
    search = run.spec.search
    assert search
    outcomes = [check_slos(run, level) for level in levels]
    while step := next_step(outcomes, search.min_level, search.max_level):
        run = begin(run, step)
        of_step = run_for_step(run, step)
        calibration = calibrate.submit(of_step, step.concurrency).result()
        with show_progress(of_step):
            level = measure.submit(of_step, facts, calibration).result()
        assert level  # a search skips none
        levels.append(level)
        if level.stopped:
            break
        outcomes.append(check_slos(run, level))
    return run, facts, [*{level.concurrency: level for level in levels}.values()]


def _result(published: State[list[Artifact]]) -> tuple[list[Artifact], str | None]:
    if published.is_completed():
        return published.result(), None
    return [], str(published.result(raise_on_failure=False))


def final_state(spec: Spec, outcome: Outcome) -> State[Outcome]:
    """Completed or Failed, with the verdict as its message."""
    message = f"{outcome.verdict.status}: {outcome.conclusion.headline}. Report: {outcome.report}"
    if outcome.publish_error:
        return Failed(message=f"Not published: {outcome.publish_error}\n{message}", data=outcome)
    if outcome.verdict.status == "invalid" and spec.on_invalid == "fail":
        return Failed(message=message, data=outcome)
    return Completed(message=message, data=outcome)
