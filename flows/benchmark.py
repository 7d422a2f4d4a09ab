"""The main flow: does this endpoint suit this many users?"""

from dataclasses import dataclass
from pathlib import Path

from prefect import flow, unmapped
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from shapebench.conclusion import Conclusion, conclude
from shapebench.launch import serving
from shapebench.load.process import stopped_on_error
from shapebench.records import Artifact, Facts, LevelRun, Run, Verdict
from shapebench.rows import level_summary
from shapebench.runs import begin
from shapebench.spec import Spec
from tasks.calibrate import calibrate
from tasks.draw import draw
from tasks.measure import measure
from tasks.probe import probe
from tasks.publish import publish
from tasks.sole_use import sole_use
from tasks.store import store
from tasks.summarise import summarise
from tasks.validate import validate


@dataclass(frozen=True)
class Outcome:
    """What a finished run came to."""

    run_id: str
    verdict: Verdict
    conclusion: Conclusion
    database: Path
    report: Path
    published: list[Artifact]
    publish_error: str | None = None


# One worker: levels never overlap on an endpoint.
@flow(name="benchmark", task_runner=ThreadPoolTaskRunner(max_workers=1))  # type: ignore[arg-type]
def benchmark(spec: Spec) -> State[Outcome]:
    """Measure an LLM endpoint at each concurrency level and say whether it suits that many users.

    Results go into results.duckdb in the data folder, the report beside it, and a copy to where the spec publishes.
    """
    run, facts, levels = measured_alone(spec)
    summaries = summarise(run, facts, levels)
    verdict = validate(run, summaries)
    conclusion = conclude(level_summary(summaries, verdict), spec.limits, verdict.standing)
    database = store(run, facts, summaries, verdict, conclusion)
    report = draw(run)
    published = publish(run, return_state=True)
    return final_state(spec, Outcome(run.run_id, verdict, conclusion, database, report, *_result(published)))


def measured_alone(spec: Spec) -> tuple[Run, Facts, list[LevelRun]]:
    """Probe and measure, with the server started and stopped where the spec says how, and nobody else measuring it."""
    with sole_use(spec.endpoint):
        run = begin(spec)
        with serving(spec.endpoint, run.folder / "server.log") as still_starting, stopped_on_error():
            facts = probe(run, still_starting)
            calibrations = calibrate.map(unmapped(run), spec.load.levels).result()
            return run, facts, measure.map(unmapped(run), unmapped(facts), calibrations).result()


def _result(published: State[list[Artifact]]) -> tuple[list[Artifact], str | None]:
    if published.is_completed():
        return published.result(), None
    return [], str(published.result(raise_on_failure=False))


def final_state(spec: Spec, outcome: Outcome) -> State[Outcome]:
    """Completed or Failed, with the verdict as its message."""
    message = f"{outcome.verdict.standing}: {outcome.conclusion.headline}. Report: {outcome.report}"
    if outcome.publish_error:
        return Failed(message=f"Not published: {outcome.publish_error}\n{message}", data=outcome)
    if outcome.verdict.standing == "invalid" and spec.on_invalid == "fail":
        return Failed(message=message, data=outcome)
    return Completed(message=message, data=outcome)
