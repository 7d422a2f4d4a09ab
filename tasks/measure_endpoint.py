"""One endpoint of several: the whole pipeline, in a process of its own."""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.choice import measure_apart
from shapebench.spec import Spec

logger = logging.getLogger("shapebench.choose")


@task(name="measure-endpoint", task_run_name="measure {spec.endpoint.shape}", cache_policy=NO_CACHE)
def measure_endpoint(spec: Spec) -> str:
    logger.info("Measuring %s at %s", spec.endpoint.shape, spec.endpoint.url)
    run_id = measure_apart(spec)
    logger.info("Measured %s: run %s", spec.endpoint.shape, run_id)
    return run_id
