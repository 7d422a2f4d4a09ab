"""One endpoint of several: the whole pipeline, in a process of its own."""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.spec.model import Spec
from shapebench.support.redact import one_line
from shapebench.support.run_log import LONGEST_TEXT
from tasks.subprocess_run import Ended, measure_apart

logger = logging.getLogger("shapebench.choose")


# No retries, whatever Prefect's settings say: a measurement that is silently repeated is another measurement.
@task(name="measure-endpoint", task_run_name="measure {spec.endpoint.shape}", retries=0, cache_policy=NO_CACHE)
def measure_endpoint(spec: Spec) -> Ended:
    shape = one_line(spec.endpoint.shape, LONGEST_TEXT)
    logger.info("%s: begins, at %s", shape, one_line(spec.endpoint.url, LONGEST_TEXT))
    ended = measure_apart(spec, lambda line: logger.info("%s: %s", shape, one_line(line, LONGEST_TEXT)))
    logger.info("%s: done, run %s", shape, ended.run_id)
    return ended
