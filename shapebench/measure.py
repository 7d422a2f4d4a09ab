"""One concurrency level: from the spec to samples in a Parquet file."""

from collections.abc import Callable

from shapebench.endpoint import api_key, target
from shapebench.load import process
from shapebench.load.plan import LevelPlan
from shapebench.load.process import Outcome
from shapebench.load.tally import Progress
from shapebench.records import Calibration, Facts, LevelRun, Run
from shapebench.spec import Spec
from shapebench.workload import Mix


def plan(run: Run, facts: Facts, concurrency: int, processes: int) -> LevelPlan:
    """What the measuring processes are told to do."""
    spec = run.spec
    return LevelPlan(
        target=target(
            spec.endpoint, temperature=spec.workload.temperature, enforce_output_tokens=enforces_output(spec, facts)
        ),
        mix=Mix(facts.sizing, spec.workload.input_tokens.lengths, spec.workload.output_tokens.lengths, run.seed),
        concurrency=concurrency,
        requests=spec.load.requests_at(concurrency),
        duration_s=spec.load.duration_at(concurrency),
        until_precise=spec.load.until_precise,
        warmup_requests=concurrency * spec.load.warmup_requests_per_stream,
        request_timeout_s=spec.load.request_timeout_s,
        stall_timeout_s=spec.load.stall_timeout_s,
        processes=processes,
        samples=str(run.folder / f"level-{concurrency:04}.parquet"),
    )


def enforces_output(spec: Spec, facts: Facts) -> bool:
    asked = spec.workload.enforce_output_tokens
    return facts.is_vllm if asked is None else asked


def measure(run: Run, facts: Facts, calibration: Calibration, on_progress: Callable[[Progress], None]) -> LevelRun:
    """Measure one level in processes of its own; what goes wrong is in the result, nothing is raised for it."""
    level = plan(run, facts, calibration.concurrency, calibration.processes)
    outcome = process.measure(level, api_key(run.spec.endpoint), on_progress)
    return LevelRun(
        run_id=run.run_id,
        concurrency=level.concurrency,
        planned_requests=_planned(level, outcome),
        started_at=outcome.started_at,
        wall_s=outcome.wall_s,
        timestamps=outcome.timestamps,
        samples=outcome.samples,
        enforced_output_tokens=level.target.enforce_output_tokens,
        exact_prompts=facts.sizing.exact,
        client=outcome.client,
        error=outcome.error,
        calibration=calibration if run.spec.load.calibrate else None,
        until_precise=level.until_precise,
    )


def _planned(level: LevelPlan, outcome: Outcome) -> int:
    """Where time or precision may end the level, those that were sent are all that there were to be."""
    if level.requests and (outcome.error or not (level.duration_s or level.until_precise)):
        return level.requests
    return max(1, outcome.sent)
