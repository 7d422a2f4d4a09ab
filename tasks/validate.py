"""Are the numbers fit to be believed?"""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.records import Run, Verdict
from shapebench.rows import Measured

logger = logging.getLogger("shapebench.validate")


@task(name="validate", cache_policy=NO_CACHE)
def validate(run: Run, levels: list[Measured]) -> Verdict:
    from expectations.validate import validate as hold_expectations  # seconds of import, never while measuring

    verdict = hold_expectations(levels, docs=run.data_docs)
    for finding in verdict.failed:
        logger.warning("Concurrency %d is %s: %s", finding.concurrency, finding.severity, finding.sentence)
    return verdict
