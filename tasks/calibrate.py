"""What the client itself can take, before it measures anybody."""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.calibrate import calibrate as calibrate_client
from shapebench.calibrate import in_words
from shapebench.records import Calibration, Run

logger = logging.getLogger("shapebench.calibrate")


@task(name="calibrate", task_run_name="calibrate-{concurrency}", cache_policy=NO_CACHE)
def calibrate(run: Run, concurrency: int) -> Calibration:
    load = run.spec.load
    found = calibrate_client(concurrency, load.processes, try_out=load.calibrate)
    if found.error:
        logger.error("Concurrency %d: the client could not be tried out: %s", concurrency, found.error)
    elif found.requests:
        logger.info("Concurrency %d: the client %s", concurrency, in_words(found))
    return found
