"""One concurrency level, in a process of its own."""

import logging
from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.measure import measure as measure_level
from shapebench.progress import tell
from shapebench.records import Calibration, Facts, LevelRun, Run

logger = logging.getLogger("shapebench.measure")


# No retries: a measurement that is silently repeated is another measurement.
@task(name="measure", task_run_name="measure-{calibration.concurrency}", cache_policy=NO_CACHE)
def measure(run: Run, facts: Facts, calibration: Calibration) -> LevelRun:
    concurrency = calibration.concurrency
    level = measure_level(run, facts, calibration, partial(tell, concurrency))
    if level.error:
        logger.error("Concurrency %d: %s", concurrency, level.error)
    else:
        logger.info("Concurrency %d: measured %d requests in %.1f s", concurrency, level.planned_requests, level.wall_s)
    return level
