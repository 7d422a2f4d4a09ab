"""What a level that was just measured says of the SLOs: a search goes on from there."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.analysis.capacity.search import Outcome
from shapebench.analysis.capacity.wording import describe_outcome
from shapebench.analysis.measured_level import evaluate_level, summarise_level
from shapebench.runs.records import LevelRun, Run
from shapebench.support.run_log import milestone


@task(name="weigh", task_run_name="weigh-{level.concurrency}", cache_policy=NO_CACHE)
def weigh(run: Run, level: LevelRun) -> Outcome:
    """An invalid level says nothing."""
    from expectations.validate import validate as hold_expectations  # seconds of import, never while measuring

    summary = summarise_level(level)
    verdict = hold_expectations([summary])
    outcome = Outcome.of_level(evaluate_level(run.spec.limits.slos, summary, verdict), verdict.status)
    milestone("search", "concurrency {n}: {outcome}", n=outcome.concurrency, outcome=describe_outcome(outcome))
    return outcome
