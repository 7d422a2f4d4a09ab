"""Loading of results into the results file."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.analysis.conclusion import Conclusion
from shapebench.analysis.measured_level import MeasuredLevel
from shapebench.results import database, rows
from shapebench.runs.records import Run, ServerFacts, Verdict
from shapebench.support.run_log import milestone
from shapebench.support.timing import timing


@task(name="store", retries=2, retry_delay_seconds=timing().store_retry_delay_s, cache_policy=NO_CACHE)
def store(run: Run, facts: ServerFacts, levels: list[MeasuredLevel], verdict: Verdict, conclusion: Conclusion) -> Path:
    file = database.load(run.spec.data, run.run_id, rows.tables(run, facts, levels, verdict, conclusion))
    milestone("store", "run {run_id} is in {database}", run_id=run.run_id, database=str(file))
    return file
