"""What a level that was just measured says of the SLOs: a search goes on from there."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.analysis.capacity.level_outcome import evidence
from shapebench.analysis.capacity.search import Evidence
from shapebench.analysis.capacity.wording import in_words
from shapebench.analysis.measured_level import evaluate_level, summarise_level
from shapebench.runs.records import LevelRun, Run
from shapebench.support.run_log import milestone


@task(name="weigh", task_run_name="weigh-{level.concurrency}", cache_policy=NO_CACHE)
def weigh(run: Run, level: LevelRun) -> Evidence:
    """An invalid level says nothing."""
    from expectations.validate import validate as hold_expectations  # seconds of import, never while measuring

    summary = summarise_level(level)
    verdict = hold_expectations([summary])
    said = evidence(evaluate_level(run.spec.limits.slos, summary, verdict), verdict.status)
    milestone("search", "concurrency {n}: {said}", n=said.concurrency, said=in_words(said))
    return said
