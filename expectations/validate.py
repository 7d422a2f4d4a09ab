"""Validation: evaluates the expectations on measured levels."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Formatter
from typing import Any, Literal, TypeAlias

import great_expectations as gx
import pandas as pd
from great_expectations.core import ExpectationValidationResult
from great_expectations.core.batch_definition import BatchDefinition
from great_expectations.data_context.types.base import ProgressBarsConfig

from expectations import inputs
from expectations.data_docs import Validation, write
from expectations.expectations import ANSWERS, LEVEL, Expectation
from expectations.inputs import Figures
from shapebench.analysis.measured_level import MeasuredLevel
from shapebench.runs.records import Finding, Status, Verdict

Batches: TypeAlias = BatchDefinition[Any]

logger = logging.getLogger("shapebench.validate")

RANK: tuple[Status, ...] = ("valid", "suspect", "invalid")


def validate(levels: Iterable[MeasuredLevel], docs: Path | None = None) -> Verdict:
    """Tell whether a run can be trusted: its verdict is that of its worst level. `docs`: the folder for pages."""
    batches = _batches()
    validations = {m.level.concurrency: _validations(batches, m) for m in levels}
    if docs:
        _write_docs([validation for of_level in validations.values() for validation in of_level], docs)
    findings = {concurrency: [f for v in of_level for f in v.findings] for concurrency, of_level in validations.items()}
    statuses = {concurrency: _status(of_level) for concurrency, of_level in findings.items()}
    return Verdict(
        status=_worst(statuses.values()),
        levels=statuses,
        findings=tuple(finding for of_level in findings.values() for finding in of_level),
    )


def _write_docs(validations: Sequence[Validation], docs: Path) -> None:
    """Write the pages; a failure does not cost the verdict."""
    try:
        write(validations, docs)
    except Exception:  # whatever Great Expectations' templates make of the figures
        logger.warning("Great Expectations' pages could not be written", exc_info=True)


def _validations(batches: Batches, m: MeasuredLevel) -> list[Validation]:
    of_answers = [_evaluate(batches, m, "answers", ANSWERS, inputs.answers(m))] if m.completed else []
    return [_evaluate(batches, m, "level", LEVEL, inputs.level(m)), *of_answers]


def _evaluate(
    batches: Batches,
    m: MeasuredLevel,
    about: Literal["level", "answers"],
    expectations: Sequence[Expectation],
    frame: pd.DataFrame,
) -> Validation:
    """Evaluate those expectations that apply, and whose figures are known."""
    evaluated = {e.name: e for e in expectations if e.applies(m) and e.columns <= set(frame)}
    suite = gx.ExpectationSuite(name="suite")
    for name, expectation in evaluated.items():
        suite.add_expectation(expectation.check.copy(update={"meta": {"name": name}}))
    batch = batches.get_batch(batch_parameters={"dataframe": frame})
    results = {_name(result): result for result in batch.validate(suite, result_format=_format(frame)).results}
    figures: Figures = dict(zip(map(str, frame), frame.iloc[0], strict=True)) if len(frame) == 1 else {}
    findings = [_finding(m, expectation, results[name], figures) for name, expectation in evaluated.items()]
    return Validation(m.level, about, findings, [results[name] for name in evaluated], figures)


def _name(result: ExpectationValidationResult) -> str:
    assert result.expectation_config
    assert result.expectation_config.meta
    return str(result.expectation_config.meta["name"])


def _format(frame: pd.DataFrame) -> Literal["BASIC", "SUMMARY"]:
    """Choose the format of results: of one row a summary says no more than its figures, and takes longer."""
    return "BASIC" if len(frame) == 1 else "SUMMARY"


def _finding(
    m: MeasuredLevel, expectation: Expectation, result: ExpectationValidationResult, figures: Figures
) -> Finding:
    return Finding(
        run_id=m.level.run_id,
        concurrency=m.level.concurrency,
        expectation=expectation.name,
        severity=expectation.severity,
        passed=bool(result.success),
        sentence=expectation.holds if result.success else _failure(expectation, result, figures),
        reason=expectation.reason,
    )


def _failure(expectation: Expectation, result: ExpectationValidationResult, others: Figures) -> str:
    """Say with the figures seen what failed, and what to do about it."""
    details = result.result
    if not details:
        return f"The expectation {expectation.name} could not be checked: {_exceptions(result)}."
    first = details["partial_unexpected_list"][0]
    figures = first if isinstance(first, tuple | list) else [first]
    counts = {"count": details["unexpected_count"], "all": details["element_count"]}
    words = f"{expectation.fails} {expectation.remedy}"
    return Formatter().vformat(words, figures, _Known({**others, **counts}))


class _Unknown:
    """Unknown figure, whatever its format."""

    def __format__(self, _: str) -> str:
        return "an unknown number of"


class _Known(dict[str, object]):
    """Figures by name; those that are missing are unknown."""

    def __missing__(self, name: str) -> _Unknown:
        return _Unknown()


def _exceptions(result: ExpectationValidationResult) -> str:
    """Join the messages of Great Expectations, which keeps them by metric."""
    return "; ".join(sorted({str(info["exception_message"]) for info in result.exception_info.values()}))


def _status(findings: list[Finding]) -> Status:
    return _worst(finding.severity for finding in findings if not finding.passed)


def _worst(statuses: Iterable[Status]) -> Status:
    return max(statuses, key=RANK.index, default="valid")


def _batches() -> Batches:
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    asset = context.data_sources.add_pandas("levels").add_dataframe_asset("level")
    return asset.add_batch_definition_whole_dataframe("whole")


# It announces its temporary folder at its own log level.
logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
