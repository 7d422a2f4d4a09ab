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


def _findings(whole: BatchDefinition[Any], m: Measured) -> list[Finding]:
    about_answers = _held(whole, m, ANSWERS, frames.answers(m)) if m.completed else []
    return [*_held(whole, m, LEVEL, frames.level(m)), *about_answers]


def _held(whole: BatchDefinition[Any], m: Measured, declared: Sequence[Declared], frame: pd.DataFrame) -> list[Finding]:
    held = {d.name: d for d in declared if d.applies(m) and d.columns <= set(frame)}
    suite = gx.ExpectationSuite(name="suite")
    for name, d in held.items():
        suite.add_expectation(d.expectation.copy(update={"meta": {"name": name}}))
    results: list[Any] = whole.get_batch(batch_parameters={"dataframe": frame}).validate(suite).results
    found = {r.expectation_config.meta["name"]: r for r in results}
    figures: dict[str, float] = dict(zip(map(str, frame), frame.iloc[0], strict=True)) if len(frame) == 1 else {}
    return [_finding(m, d, found[name], figures) for name, d in held.items()]


def _finding(m: Measured, declared: Declared, result: Any, figures: dict[str, float]) -> Finding:
    return Finding(
        run_id=m.level.run_id,
        concurrency=m.level.concurrency,
        expectation=declared.name,
        severity=declared.severity,
        passed=bool(result.success),
        sentence=declared.says + ("." if result.success else f": not so, {_seen(declared, result, figures)}."),
        reason=declared.reason,
    )


def _seen(declared: Declared, result: Any, others: dict[str, float]) -> str:
    """What was seen instead, in plain words."""
    found = result.result
    if not found:
        return f"it could not be checked ({_trouble(result)})"
    first = found["partial_unexpected_list"][0]
    figures = first if isinstance(first, tuple | list) else [first]
    counts = {"count": found["unexpected_count"], "all": found["element_count"]}
    return declared.otherwise.format(*figures, **{**others, **counts})


def _trouble(result: Any) -> str:
    """Great Expectations keeps what went wrong by metric."""
    return "; ".join(sorted({str(info["exception_message"]) for info in result.exception_info.values()}))


def _standing(findings: list[Finding]) -> Standing:
    return _worst(finding.severity for finding in findings if not finding.passed)


def _worst(standings: Iterable[Standing]) -> Standing:
    return max(standings, key=RANK.index, default="valid")


def _batches() -> BatchDefinition[Any]:
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    asset = context.data_sources.add_pandas("levels").add_dataframe_asset("level")
    return asset.add_batch_definition_whole_dataframe("whole")


# It announces its temporary folder, at a level of its own.
logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
