"""Summary of samples as metrics."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.analysis.measured_level import MeasuredLevel, summarise_level
from shapebench.runs.records import LevelRun, Run, ServerFacts
from shapebench.runs.run_file import RunFile, save


@task(name="summarise", cache_policy=NO_CACHE)
def summarise(run: Run, facts: ServerFacts, levels: list[LevelRun]) -> list[MeasuredLevel]:
    save(RunFile(run, facts, tuple(levels)))
    return [summarise_level(level) for level in levels]
