"""From samples to metrics."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.results.rows import Measured, measured
from shapebench.runs.records import Facts, LevelRun, Run
from shapebench.runs.run_file import RunFile, save


@task(name="summarise", cache_policy=NO_CACHE)
def summarise(run: Run, facts: Facts, levels: list[LevelRun]) -> list[Measured]:
    save(RunFile(run, facts, tuple(levels)))
    return [measured(level) for level in levels]
