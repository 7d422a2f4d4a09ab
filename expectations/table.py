"""docs/validation.md, written from the declarations: `make docs`."""

from pathlib import Path

from expectations.declared import ANSWERS, LEVEL, Declared

PAGE = Path(__file__).parent.parent / "docs" / "validation.md"
HEAD = """\
# What must hold for numbers to be believed

Written by `make docs` from [expectations/declared.py](../expectations/declared.py).

Each level of a run is held against the expectations below. Where one fails that makes it `invalid`, the level is
invalid: it stays in the results, is drawn hollow, and no conclusion uses it. Where one fails that makes it `suspect`,
its numbers are used, and it is said what to doubt. A run is worth what its worst level is worth. `on_invalid: fail`
makes the flow end as Failed on an invalid level.

An expectation is left out where it cannot apply: what is said of the server's own counters where it gives none that
are vLLM's, lengths where they could not be enforced, what takes answers where there are none. Great Expectations' own
pages of a run, with what was seen of each expectation, lie beside its report, under `validation/`.

A percentile p is stated only where at least 5/(1-p) requests completed (p95: 100, p99: 500; below the median 5/p), so
that five lie beyond it. Otherwise it is withheld: NULL in `level_summary`, not drawn, and a limit is held against the
slowest request in its place.

Statistics never decide by the usual 5%: with so many expectations, levels and runs, chance would cry wolf daily.
Lengths are held against bounds that chance crosses once in a million levels, a drift against one in a hundred
thousand.

Each expectation is proven by a test that commits its sin and sees it fail, with its known companions and nothing
else: [tests/integration/test_faults_are_found.py](../tests/integration/test_faults_are_found.py) on servers that
really sin, where a server can,
[tests/unit/expectations/test_expectations.py](../tests/unit/expectations/test_expectations.py)
on samples written out by hand. Twenty clean runs fail none.
"""
COLUMNS = ("expectation", "what it says", "what it catches", "makes it", "the sin that its test commits")


def page() -> str:
    """The whole page, in Markdown."""
    return "\n".join(
        [
            HEAD,
            *_section("Of the level as a whole", LEVEL),
            *_section("Of each answer", ANSWERS),
        ]
    )


def _section(title: str, declared: tuple[Declared, ...]) -> list[str]:
    rows = [(f"`{d.name}`", f"{d.says}.", d.reason, d.severity, d.sin) for d in declared]
    return [f"## {title}", "", _row(COLUMNS), _row(["---"] * len(COLUMNS)), *map(_row, rows), ""]


def _row(cells: "list[str] | tuple[str, ...]") -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
