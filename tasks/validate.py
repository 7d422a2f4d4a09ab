"""Validation: whether the numbers can be trusted."""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from expectations.validate import validate as evaluate_expectations
from shapebench.analysis.measured_level import MeasuredLevel
from shapebench.runs.records import Run, Verdict
from shapebench.support.run_log import milestone


@task(name="validate", cache_policy=NO_CACHE)
def validate(run: Run, levels: list[MeasuredLevel]) -> Verdict:
    verdict = evaluate_expectations(levels, docs=run.data_docs)
    words = "concurrency {concurrency} is {severity}: {sentence}"
    for finding in verdict.failed:
        facts = {name: getattr(finding, name) for name in ("concurrency", "severity", "sentence", "expectation")}
        milestone("validate", words, logging.WARNING, **facts)
    counts = {"failed": len(verdict.failed), "expectations": len(verdict.findings)}
    milestone("validate", "{verdict}: {failed} of {expectations} expectations failed", verdict=verdict.status, **counts)
    return verdict
