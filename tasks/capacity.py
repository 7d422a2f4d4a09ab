"""Evaluation of a level against the SLOs, which determines the next level of a capacity search."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.analysis.capacity.search import Outcome
from shapebench.analysis.capacity.wording import describe_outcome
from shapebench.analysis.measured_level import evaluate_level, summarise_level
from shapebench.runs.records import LevelRun, Run
from shapebench.support.run_log import milestone


@task(name="check-slos", task_run_name="check-slos-{level.concurrency}", cache_policy=NO_CACHE)
def check_slos(run: Run, level: LevelRun) -> Outcome:
    """Evaluate a level that was just measured; an invalid one is not used."""
    from expectations.validate import validate as evaluate_expectations  # seconds of import, never while measuring

    summary = summarise_level(level)
    verdict = evaluate_expectations([summary])
    outcome = Outcome.of_level(evaluate_level(run.spec.limits.slos, summary, verdict), verdict.status)
    milestone("search", "concurrency {n}: {outcome}", n=outcome.concurrency, outcome=describe_outcome(outcome))
    return outcome
