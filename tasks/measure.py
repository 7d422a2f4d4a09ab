"""Measurement of one concurrency level, in its own processes."""

import logging
from collections import deque

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.analysis.early_stop import stopped_by
from shapebench.load.counters import Progress
from shapebench.load.progress import describe, notify
from shapebench.load.run_level import measure_level
from shapebench.runs.records import Calibration, LevelRun, Run, ServerFacts
from shapebench.runs.run_file import keep
from shapebench.support.run_log import milestone


# No retries, whatever Prefect's settings say: a silently repeated measurement is another measurement.
@task(name="measure", task_run_name="measure-{calibration.concurrency}", retries=0, cache_policy=NO_CACHE)
def measure(run: Run, facts: ServerFacts, calibration: Calibration) -> LevelRun | None:
    """Measure a level; None if a lower one was too slow, as the spec's early stop defines it."""
    concurrency = calibration.concurrency
    if slow := stopped_by(run, concurrency):
        milestone("measure", "concurrency {n}: skipped, {slow} was too slow", n=concurrency, slow=slow.concurrency)
        return None
    milestone("measure", "concurrency {n}: begins", n=concurrency)
    latest: deque[Progress] = deque(maxlen=1)

    def on_progress(progress: Progress) -> None:
        latest.append(progress)
        notify(concurrency, progress)

    level = measure_level(run, facts, calibration, on_progress)
    if not level.stopped:
        keep(run, level)
    _log_result(level, latest[-1] if latest else None)
    return level


def _log_result(level: LevelRun, last: Progress | None) -> None:
    n = level.concurrency
    if level.error:
        milestone("measure", "concurrency {n}: {error}", logging.ERROR, n=n, error=level.error)
    elif last:
        words = "concurrency {n}: {found}; took {wall_s:.1f} s"
        milestone("measure", words, n=n, found=describe(last), wall_s=level.wall_s)
