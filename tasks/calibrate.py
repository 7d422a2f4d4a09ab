"""Calibration: what the client adds to latency and can sustain, before it measures."""

import logging
from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.load.calibration import calibrate as calibrate_client
from shapebench.load.calibration import describe
from shapebench.runs.records import Calibration, Run
from shapebench.support.run_log import milestone


@task(name="calibrate", task_run_name="calibrate-{concurrency}", cache_policy=NO_CACHE)
def calibrate(run: Run, concurrency: int) -> Calibration:
    load = run.spec.load
    calibration = calibrate_client(concurrency, load.processes, try_out=load.calibrate)
    log = partial(milestone, "calibrate", concurrency=concurrency)
    if calibration.error:
        log(
            "concurrency {concurrency}: the client could not be tried out: {error}",
            logging.ERROR,
            error=calibration.error,
        )
    elif calibration.requests:
        log("concurrency {concurrency}: the client {result}", result=describe(calibration))
    return calibration
