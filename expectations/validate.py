"""Holds the declared expectations against measured levels."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.core.batch_definition import BatchDefinition
from great_expectations.data_context.types.base import ProgressBarsConfig

from expectations import frames
from expectations.declared import ANSWERS, LEVEL, Declared
from shapebench.records import Finding, Standing, Verdict
from shapebench.rows import Measured

RANK: tuple[Standing, ...] = ("valid", "suspect", "invalid")


def validate(levels: Iterable[Measured]) -> Verdict:
    """Are the numbers fit to be believed? A run is worth what its worst level is worth."""
    whole = _batches()
    findings = {m.level.concurrency: _findings(whole, m) for m in levels}
    standings = {concurrency: _standing(found) for concurrency, found in findings.items()}
    return Verdict(
        standing=_worst(standings.values()),
        levels=standings,
        findings=tuple(finding for found in findings.values() for finding in found),
    )


def _findings(whole: BatchDefinition, m: Measured) -> list[Finding]:
    about_answers = _held(whole, m, ANSWERS, frames.answers(m)) if m.completed else []
    return [*_held(whole, m, LEVEL, frames.level(m)), *about_answers]


def _held(whole: BatchDefinition, m: Measured, declared: Sequence[Declared], frame: pd.DataFrame) -> list[Finding]:
    held = {d.name: d for d in declared if d.applies(m)}
    suite = gx.ExpectationSuite(name="suite")
    for name, d in held.items():
        suite.add_expectation(d.expectation.copy(update={"meta": {"name": name}}))
    results = whole.get_batch(batch_parameters={"dataframe": frame}).validate(suite).results
    found = {r.expectation_config.meta["name"]: r for r in results}
    return [_finding(m, d, found[name]) for name, d in held.items()]


def _finding(m: Measured, declared: Declared, result: Any) -> Finding:
    return Finding(
        run_id=m.level.run_id,
        concurrency=m.level.concurrency,
        expectation=declared.name,
        severity=declared.severity,
        passed=bool(result.success),
        sentence=declared.says + ("." if result.success else f": not so, {_seen(result)}."),
        reason=declared.reason,
    )


def _seen(result: Any) -> str:
    """What was seen instead, in plain words."""
    if result.exception_info.get("exception_message"):
        return f"it could not be checked ({result.exception_info['exception_message']})"
    found = result.result
    examples = ", ".join(_plain(value) for value in found.get("partial_unexpected_list", [])[:3])
    if found.get("element_count", 0) <= 1:
        return f"it is {examples}"
    return f"{found['unexpected_count']} of {found['element_count']} are not (such as {examples})"


def _plain(value: Any) -> str:
    values = value if isinstance(value, tuple | list) else [value]
    return " and ".join(f"{v:.4g}" for v in values)


def _standing(findings: list[Finding]) -> Standing:
    return _worst(finding.severity for finding in findings if not finding.passed)


def _worst(standings: Iterable[Standing]) -> Standing:
    return max(standings, key=RANK.index, default="valid")


def _batches() -> BatchDefinition:
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    asset = context.data_sources.add_pandas("levels").add_dataframe_asset("level")
    return asset.add_batch_definition_whole_dataframe("whole")


# It announces its temporary folder, at a level of its own.
logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
