"""One concurrency level: from the spec to samples in a Parquet file."""

from collections.abc import Callable

from shapebench.endpoint import api_key, target
from shapebench.load import process
from shapebench.load.level import Progress
from shapebench.load.plan import LevelPlan
from shapebench.records import Facts, LevelRun, Run
from shapebench.spec import Spec
from shapebench.workload import Mix


def plan(run: Run, facts: Facts, concurrency: int) -> LevelPlan:
    """What the measuring process is told to do."""
    spec = run.spec
    return LevelPlan(
        target=target(
            spec.endpoint, temperature=spec.workload.temperature, enforce_output_tokens=enforces_output(spec, facts)
        ),
        mix=Mix(facts.sizing, spec.workload.input_tokens.lengths, spec.workload.output_tokens.lengths, run.seed),
        concurrency=concurrency,
        requests=spec.load.requests_at(concurrency),
        warmup_requests=concurrency * spec.load.warmup_requests_per_stream,
        request_timeout_s=spec.load.request_timeout_s,
        samples=str(run.folder / f"level-{concurrency:04}.parquet"),
    )


def enforces_output(spec: Spec, facts: Facts) -> bool:
    asked = spec.workload.enforce_output_tokens
    return facts.is_vllm if asked is None else asked


def measure(run: Run, facts: Facts, concurrency: int, on_progress: Callable[[Progress], None]) -> LevelRun:
    """Measure one level in a process of its own; what goes wrong is in the result, nothing is raised for it."""
    level = plan(run, facts, concurrency)
    outcome = process.measure(level, api_key(run.spec.endpoint), on_progress)
    return LevelRun(
        run_id=run.run_id,
        concurrency=concurrency,
        planned_requests=level.requests,
        started_at=outcome.started_at,
        wall_s=outcome.wall_s,
        timestamps=outcome.timestamps,
        samples=outcome.samples,
        enforced_output_tokens=level.target.enforce_output_tokens,
        exact_prompts=facts.sizing.exact,
        client=outcome.client,
        error=outcome.error,
    )
