"""Holds the declared expectations against measured levels."""

import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Formatter
from typing import Any, Literal

import great_expectations as gx
import pandas as pd
from great_expectations.core.batch_definition import BatchDefinition
from great_expectations.data_context.types.base import ProgressBarsConfig

from expectations import frames
from expectations.declared import ANSWERS, LEVEL, Declared
from expectations.docs import Validation, write
from shapebench.analysis.measured_level import MeasuredLevel
from shapebench.runs.records import Finding, Status, Verdict

logger = logging.getLogger("shapebench.validate")

RANK: tuple[Status, ...] = ("valid", "suspect", "invalid")


def validate(levels: Iterable[MeasuredLevel], docs: Path | None = None) -> Verdict:
    """Are the numbers fit to be believed? A run is worth what its worst level is worth; `docs`: a folder for pages."""
    whole = _batches()
    validations = {m.level.concurrency: _validations(whole, m) for m in levels}
    if docs:
        _write_docs([one for of_level in validations.values() for one in of_level], docs)
    findings = {concurrency: [f for v in of_level for f in v.findings] for concurrency, of_level in validations.items()}
    standings = {concurrency: _standing(found) for concurrency, found in findings.items()}
    return Verdict(
        status=_worst(standings.values()),
        levels=standings,
        findings=tuple(finding for found in findings.values() for finding in found),
    )


def _write_docs(validations: Sequence[Validation], docs: Path) -> None:
    """A verdict is worth more than its pages."""
    try:
        write(validations, docs)
    except Exception:  # whatever its templates make of what was seen
        logger.warning("Great Expectations' pages could not be written", exc_info=True)


def _validations(whole: BatchDefinition[Any], m: MeasuredLevel) -> list[Validation]:
    about_answers = [_held(whole, m, "answers", ANSWERS, frames.answers(m))] if m.completed else []
    return [_held(whole, m, "level", LEVEL, frames.level(m)), *about_answers]


def _held(
    whole: BatchDefinition[Any],
    m: MeasuredLevel,
    about: Literal["level", "answers"],
    declared: Sequence[Declared],
    frame: pd.DataFrame,
) -> Validation:
    held = {d.name: d for d in declared if d.applies(m) and d.columns <= set(frame)}
    suite = gx.ExpectationSuite(name="suite")
    for name, d in held.items():
        suite.add_expectation(d.expectation.copy(update={"meta": {"name": name}}))
    batch = whole.get_batch(batch_parameters={"dataframe": frame})
    results: list[Any] = batch.validate(suite, result_format=_result_format(frame)).results
    found = {r.expectation_config.meta["name"]: r for r in results}
    figures: dict[str, float] = dict(zip(map(str, frame), frame.iloc[0], strict=True)) if len(frame) == 1 else {}
    findings = [_finding(m, d, found[name], figures) for name, d in held.items()]
    return Validation(m.level, about, findings, [found[name] for name in held], figures)


def _result_format(frame: pd.DataFrame) -> Literal["BASIC", "SUMMARY"]:
    """Of one row a summary says no more than its figures do, and takes half as long again."""
    return "BASIC" if len(frame) == 1 else "SUMMARY"


def _finding(m: MeasuredLevel, declared: Declared, result: Any, figures: dict[str, float]) -> Finding:
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
    return Formatter().vformat(declared.otherwise, figures, _Known({**others, **counts}))


class _Known(dict[str, Any]):
    """What is not known is not a number."""

    def __missing__(self, name: str) -> float:
        return math.nan


def _trouble(result: Any) -> str:
    """Great Expectations keeps what went wrong by metric."""
    return "; ".join(sorted({str(info["exception_message"]) for info in result.exception_info.values()}))


def _standing(findings: list[Finding]) -> Status:
    return _worst(finding.severity for finding in findings if not finding.passed)


def _worst(standings: Iterable[Status]) -> Status:
    return max(standings, key=RANK.index, default="valid")


def _batches() -> BatchDefinition[Any]:
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    asset = context.data_sources.add_pandas("levels").add_dataframe_asset("level")
    return asset.add_batch_definition_whole_dataframe("whole")


# It announces its temporary folder, at a level of its own.
logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
