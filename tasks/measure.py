"""One concurrency level, in a process of its own."""

import logging
from collections import deque

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.analysis.early_stop import stopped_by
from shapebench.load.counters import Progress
from shapebench.load.progress import in_words, tell
from shapebench.load.run_level import measure_level
from shapebench.runs.records import Calibration, LevelRun, Run, ServerFacts
from shapebench.runs.run_file import keep
from shapebench.support.run_log import milestone


# No retries, whatever Prefect's settings say: a measurement that is silently repeated is another measurement.
@task(name="measure", task_run_name="measure-{calibration.concurrency}", retries=0, cache_policy=NO_CACHE)
def measure(run: Run, facts: ServerFacts, calibration: Calibration) -> LevelRun | None:
    """None where queries were too slow at fewer streams already, and the spec says to stop then."""
    concurrency = calibration.concurrency
    if slow := stopped_by(run, concurrency):
        milestone("measure", "concurrency {n}: left out, {slow} was too slow", n=concurrency, slow=slow.concurrency)
        return None
    milestone("measure", "concurrency {n}: begins", n=concurrency)
    heard: deque[Progress] = deque(maxlen=1)

    def hear(progress: Progress) -> None:
        heard.append(progress)
        tell(concurrency, progress)

    level = measure_level(run, facts, calibration, hear)
    if not level.stopped:
        keep(run, level)
    _say(level, heard[-1] if heard else None)
    return level


def _say(level: LevelRun, last: Progress | None) -> None:
    n = level.concurrency
    if level.error:
        milestone("measure", "concurrency {n}: {error}", logging.ERROR, n=n, error=level.error)
    elif last:
        came_to = "concurrency {n}: {found}; took {wall_s:.1f} s"
        milestone("measure", came_to, n=n, found=in_words(last), wall_s=level.wall_s)
