"""Data Docs: Great Expectations' own pages for a run, which need neither a network nor a server.

Its site builder is not used: each of its pages loads 16 files from seven hosts, its index is filled by those scripts,
and next to the pages lie megabytes of pictures and fonts that none of them shows. Its renderers and templates are used;
only the frame around them, `PAGE`, is ours.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from numbers import Real
from pathlib import Path
from typing import Any, Literal

from great_expectations.core import ExpectationValidationResult
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.render import (
    RenderedDocumentContent,
    RenderedHeaderContent,
    RenderedSectionContent,
    RenderedStringTemplateContent,
    RenderedTableContent,
)
from great_expectations.render.renderer.content_block import ValidationResultsTableContentBlockRenderer
from great_expectations.render.view import DefaultJinjaPageView
from jinja2 import BaseLoader, ChoiceLoader, DictLoader

from expectations.inputs import Figures
from shapebench.runs.records import Finding, LevelRun

SEVERITIES = {"invalid": FailureSeverity.CRITICAL, "suspect": FailureSeverity.WARNING}


@dataclass(frozen=True)
class Validation:
    """An evaluation of one level: for each expectation a finding and Great Expectations' result, in the same order."""

    level: LevelRun
    about: Literal["level", "answers"]
    findings: Sequence[Finding]
    results: Sequence[ExpectationValidationResult]
    figures: Figures  # of the level; none for answers

    @property
    def name(self) -> str:
        return f"Concurrency {self.level.concurrency}: {self.about}"

    @property
    def file(self) -> str:
        return f"concurrency-{self.level.concurrency:04}-{self.about}.html"

    @property
    def failed(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.passed]


def write(validations: Sequence[Validation], folder: Path) -> Path:
    """Write a page for each validation, and the index of them; returns the index's path, `folder/index.html`."""
    folder.mkdir(parents=True, exist_ok=True)
    view: Any = _View()  # its methods have no types
    for validation in validations:
        (folder / validation.file).write_text(view.render(_page(validation)), encoding="utf-8")
    index = folder / "index.html"
    index.write_text(view.render(_index(validations)), encoding="utf-8")
    return index


def _page(validation: Validation) -> RenderedDocumentContent:
    status = "Failed" if validation.failed else "Succeeded"
    summary = f"{status}: {_passed(validation)} expectations hold. Run {validation.level.run_id}"
    return _document("ValidationResultsPageRenderer", validation.name, summary, [_expectations(validation)])


def _index(validations: Sequence[Validation]) -> RenderedDocumentContent:
    runs = ", ".join(sorted({validation.level.run_id for validation in validations}))
    rows = [
        [_status(not v.failed), _text(v.name, tag="a", attributes={"href": v.file}), _passed(v), _worst(v)]
        for v in validations
    ]
    table = _table(["Status", "Validation", "Expectations that hold", "Worst failure"], rows)
    return _document("SiteIndexPageRenderer", f"Data Docs of run {runs}", "What was validated, level by level", [table])


def _passed(validation: Validation) -> str:
    return f"{len(validation.findings) - len(validation.failed)} of {len(validation.findings)}"


def _worst(validation: Validation) -> str:
    severities = {_severity(finding) for finding in validation.failed}
    return min(severities, default="-")  # critical before warning: the alphabet has it right


def _severity(finding: Finding) -> str:
    return f"{SEVERITIES[finding.severity].value} ({finding.severity})"


def _expectations(validation: Validation) -> RenderedTableContent:
    """Render Great Expectations' table of them, failures first, with two more columns."""
    pairs = sorted(zip(validation.findings, validation.results, strict=True), key=lambda pair: pair[0].passed)
    if not pairs:
        return _table(["No figures that expectations need are known"], [])
    shown = [_with_our_sentence(finding, result, validation.figures) for finding, result in pairs]
    table = ValidationResultsTableContentBlockRenderer.render(shown)
    assert isinstance(table, RenderedTableContent)
    rows = [
        [_status(finding.passed), *row[1:], _severity(finding), escape(finding.reason)]
        for row, (finding, _) in zip(table.table, pairs, strict=True)
    ]
    return _table(["Status", "Expectation", "Observed value", "Severity", "Why"], rows)


def _with_our_sentence(
    finding: Finding, result: ExpectationValidationResult, figures: Figures
) -> ExpectationValidationResult:
    """Describe a result by our sentence, without the traceback, which names folders of this machine."""
    config = result.expectation_config
    assert config
    observed = figures.get(str(config.kwargs.get("column")))
    return ExpectationValidationResult(
        success=finding.passed,
        expectation_config=ExpectationConfiguration(
            type=config.type,
            kwargs=config.kwargs,
            description=_literally(finding.sentence),
            severity=SEVERITIES[finding.severity],
        ),
        # Of one row it would say that 100% of it are unexpected; the figure itself says more.
        result=_legible(result.result) if observed is None else {"observed_value": _figure(observed)},
    )


def _legible(result: dict[str, Any]) -> dict[str, Any]:
    """Format unexpected values as plain numbers: a pair of them would read (np.float64(1.0), np.int64(2))."""
    values = [(count, count.get("value")) for count in result.get("partial_unexpected_counts", ())]
    pairs = [(count, value if isinstance(value, tuple) else (value,)) for count, value in values]
    return {**result, "partial_unexpected_counts": [{**c, "value": ", ".join(map(_figure, v))} for c, v in pairs]}


def _figure(value: object) -> str:
    return f"{value:,.6g}" if isinstance(value, Real) else escape(str(value))


def _literally(text: str) -> str:
    """Escape a text for a template: HTML and placeholders."""
    return escape(text).replace("$", "&#36;")


def _document(renderer: str, title: str, summary: str, blocks: Iterable[Any]) -> RenderedDocumentContent:
    header = RenderedHeaderContent(header=_text(title, tag="h1"), subheader=_text(summary, tag="p"))
    section = RenderedSectionContent(section_name=title, content_blocks=[header, *blocks])
    return RenderedDocumentContent(renderer_type=renderer, page_title=title, utm_medium="", sections=[section])


def _table(header: list[str], rows: Sequence[object]) -> RenderedTableContent:
    return RenderedTableContent(header_row=header, table=[*rows], styling={"body": {"classes": ["table"]}})


def _status(success: bool) -> RenderedStringTemplateContent:
    """Render success in the words and colours of Great Expectations."""
    word, colour = ("✓ Succeeded", "text-success") if success else ("✗ Failed", "text-danger")
    return _text(word, classes=[colour])


def _text(text: str, tag: str = "span", **styling: Any) -> RenderedStringTemplateContent:
    return RenderedStringTemplateContent({"template": _literally(text), "tag": tag, "styling": styling})


class _View(DefaultJinjaPageView):
    """Great Expectations' view of a page, in a frame that loads nothing."""

    _template = "offline_page.j2"

    def __init__(self) -> None:
        super().__init__()
        theirs = self.env.loader
        assert isinstance(theirs, BaseLoader)
        self.env.loader = ChoiceLoader([DictLoader({self._template: PAGE}), theirs])


# Styles for those classes of Bootstrap that their templates use.
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="UTF-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ page_title | e }}</title>
<style>
:root { color-scheme: light dark; --good: #1a7f37; --bad: #c62828; --faint: #59636e; --line: #d1d9e0; }
@media (prefers-color-scheme: dark) {
  :root { --good: #4ac26b; --bad: #ff7b72; --faint: #9198a1; --line: #3d444d; }
}
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 80rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.5rem; margin: .75rem 0 0; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: .5rem 1rem .5rem 0; border-bottom: 1px solid var(--line); }
td table { font-size: .85rem; margin: .5rem 0 0; }
td td, td th { padding: .1rem 1rem .1rem 0; }
td strong, footer { color: var(--faint); font-size: .85rem; font-weight: 400; }
.table > tbody > tr > td:nth-child(1) { white-space: nowrap; font-weight: 600; }
td strong br + br { display: none; }
.text-success { color: var(--good); }
td .text-danger:not(strong) { color: var(--bad); }
</style>
</head>
<body>
{% if renderer_type != "SiteIndexPageRenderer" %}
<nav><a href="index.html">All validations of the run</a></nav>
{% endif %}
{% for section in sections %}{% set section_loop = loop %}{% include "section.j2" %}{% endfor %}
<footer>Data Docs of Great Expectations {{ ge_version }}</footer>
</body>
</html>
"""
