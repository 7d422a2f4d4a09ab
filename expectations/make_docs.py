"""docs/validation.md, written from the declared expectations: `make docs`."""

import re
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from expectations.expectations import ANSWERS, LEVEL, Expectation

PAGE = Path(__file__).parent.parent / "docs" / "validation.md"
HEAD = """\
# Expectations: when numbers can be trusted

Written by `make docs` from [expectations/expectations.py](../expectations/expectations.py).

The expectations below are evaluated on each level of a run. A failure with the severity `invalid` makes the level
invalid: it stays in the results, is drawn hollow, and is not used for conclusions. A failure with the severity
`suspect` makes it suspect: its numbers are used, with a warning. A run's verdict is that of its worst level.
`on_invalid: fail` makes the flow end as Failed on an invalid level.

A finding is a sentence with the observed figures, and a remedy. Expectations that do not apply are skipped: those on
numbers that the server's metrics do not have, those on lengths if lengths could not be enforced, those on answers if
there are none. Great Expectations' pages of a run, with the observed values, are next to its report, under
`validation/`.

A percentile p is stated only where at least 5/(1-p) requests completed (p95: 100, p99: 500; below the median 5/p), so
that five lie beyond it. Otherwise it is withheld: NULL in `level_summary`, not drawn, and an SLO is evaluated on the
slowest request instead.

Statistical expectations do not use the usual 5% level: with so many expectations, levels and runs, there would be false
alarms every day. By chance, lengths cross their bounds once in a million levels, and a drift once in a hundred
thousand.

For each expectation a test causes its fault, and checks that it fails, with its known companions and no others:
[tests/integration/test_faults_are_found.py](../tests/integration/test_faults_are_found.py) with servers that have the
fault, if a server can, and
[tests/unit/expectations/test_expectations.py](../tests/unit/expectations/test_expectations.py) with handwritten
samples. Twenty clean runs fail none.
"""


def page() -> str:
    """Write the whole page, in Markdown."""
    sections = [*_section("Expectations on a level", LEVEL), *_section("Expectations on each answer", ANSWERS)]
    return "\n".join([HEAD, *sections]).rstrip() + "\n"


def _section(title: str, expectations: Sequence[Expectation]) -> list[str]:
    return [f"## {title}", "", *(line for expectation in expectations for line in _entry(expectation))]


def _entry(expectation: Expectation) -> list[str]:
    """Describe one expectation; a figure in a remedy is a letter here."""
    items = {
        "Severity": f"`{expectation.severity}`",
        "If it fails": expectation.reason,
        "Remedy": re.sub(r"\{[^}]*\}", "N", expectation.remedy),
        "Fault in its test": expectation.fault,
    }
    bullets = [_wrap(f"- {title}: {text}", "  ") for title, text in items.items()]
    return [f"### `{expectation.name}`", "", _wrap(expectation.holds), "", *bullets, ""]


def _wrap(text: str, indent: str = "") -> str:
    return fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
