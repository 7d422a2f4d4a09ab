"""What the client itself can take, before it measures anybody."""

import logging
from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.load.calibration import calibrate as calibrate_client
from shapebench.load.calibration import in_words
from shapebench.runs.records import Calibration, Run
from shapebench.support.run_log import milestone


@task(name="calibrate", task_run_name="calibrate-{concurrency}", cache_policy=NO_CACHE)
def calibrate(run: Run, concurrency: int) -> Calibration:
    load = run.spec.load
    found = calibrate_client(concurrency, load.processes, try_out=load.calibrate)
    tell = partial(milestone, "calibrate", concurrency=concurrency)
    if found.error:
        tell("concurrency {concurrency}: the client could not be tried out: {error}", logging.ERROR, error=found.error)
    elif found.requests:
        tell("concurrency {concurrency}: the client {found}", found=in_words(found))
    return found
