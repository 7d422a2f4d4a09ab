"""A throughput curve from a CSV file, measured by any tool."""

import csv
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from shapebench.analysis.scaling.levels import NOISES
from shapebench.errors import ShapebenchError

NEEDED = ("concurrency", "system_tokens_per_s")
OPTIONAL = ("query_tokens_per_s", "ttft_s", *NOISES)
DELIMITERS = ",;\t|"
MISSING = frozenset({"", "-", "na", "n/a", "nan", "null", "none"})
THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+")
AGREEMENT = 0.05  # within which query and system throughput are the same
GREATEST = 1e12  # no number of a benchmark is beyond it
LONGEST_TEXT = 30
ENCODINGS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # as Excel's "Unicode text"
REMEDY = (
    f"Use a CSV file with a header, a row for each level, and the columns {' and '.join(NEEDED)} (tokens/s of all "
    "streams together); query_tokens_per_s (of each) and ttft_s are optional."
)


class CurveError(ShapebenchError):
    """A file contains no curve."""


@dataclass(frozen=True)
class Impossible:
    """A row with impossible numbers."""

    row: int  # its line in the file, from 1
    concurrency: float | None
    reason: str


@dataclass(frozen=True, eq=False)
class Curve:
    """The possible `rows`, with their numbers (NaN: missing) and `row`, and the impossible ones."""

    rows: pd.DataFrame
    impossible: tuple[Impossible, ...]


@dataclass(frozen=True)
class Row:
    """A line of the file; `texts` are its cells that are not missing, by column."""

    line: int
    texts: Mapping[str, str]
    delimiter: str

    def number(self, column: str) -> float:
        """Return a cell's number; NaN where it is missing, or no number."""
        text = re.sub(r"\s", "", self.texts.get(column, "")).replace("_", "?")  # Python would read 1_000
        with suppress(ValueError):
            return float(_plain(text, self.delimiter))
        return math.nan


def read_curve(file: Path) -> Curve:
    """Read a CSV file; columns are separated by commas, semicolons, tabs or bars. Raises CurveError."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise CurveError(f"Cannot read {file}: {error.strerror}", REMEDY) from None
    rows = [*_rows(file, raw.decode(ENCODINGS.get(raw[:2], "utf-8-sig"), errors="replace").splitlines())]
    if not rows:
        raise CurveError(f"{file} has no row below its header", REMEDY)
    reasons = {row.line: "; ".join(_reasons(row)) for row in rows}
    possible = [row for row in rows if not reasons[row.line]]
    columns = {name: [row.number(name) for row in possible] for name in (*NEEDED, *OPTIONAL)}
    impossible = (Impossible(row.line, _known_concurrency(row), reasons[row.line]) for row in rows if reasons[row.line])
    return Curve(pd.DataFrame({"row": [row.line for row in possible], **columns}), tuple(impossible))


def _rows(file: Path, lines: list[str]) -> Iterator[Row]:
    """Yield the rows below the header; each line stands alone, so that a stray quote spoils no other."""
    header, delimiter = _find_header(file, lines)
    names = _names(lines[header], delimiter)
    for line, text in enumerate(lines[header + 1 :], header + 2):
        cells = [] if _is_comment(text) else _cells(text, delimiter)
        pairs = [*zip(names, cells, strict=False)][::-1]  # of two columns of a name, the first counts
        texts = {name: cell for name, cell in pairs if cell.lower() not in MISSING}
        if texts:
            yield Row(line, texts, delimiter)


def _find_header(file: Path, lines: list[str]) -> tuple[int, str]:
    """Find the first line that names the needed columns, and its delimiter; some write the header as a comment."""
    for place, line in sorted(enumerate(lines), key=lambda numbered: _is_comment(numbered[1])):
        for delimiter in DELIMITERS:
            if set(NEEDED) <= set(_names(line, delimiter)):
                return place, delimiter
    first = next((line for line in lines if line.strip() and not _is_comment(line)), None)
    if first is None:
        raise CurveError(f"{file} is empty", REMEDY)
    names = max((_names(first, delimiter) for delimiter in DELIMITERS), key=len)
    lacks = ", ".join(name for name in NEEDED if name not in names)
    raise CurveError(f"{file} has no column {lacks}; it has {', '.join(map(_short, names))}", REMEDY)


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _names(header: str, delimiter: str) -> list[str]:
    """Name columns alike: `Query tokens/s ` and `query_tokens_per_s` are the same."""
    cells = _cells(header, delimiter)
    return [re.sub(r"[\W_]+", "_", cell.lower().replace("/s", "_per_s")).strip("_") for cell in cells]


def _cells(line: str, delimiter: str) -> list[str]:
    with suppress(csv.Error):  # longer than any cell
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    return []


def _plain(text: str, delimiter: str) -> str:
    """Write a number as Python reads it: of a point and a comma in one cell, the last is before the decimals.

    A comma alone is before the decimals too, but between thousands where commas separate the columns.
    """
    if "." in text and text.rindex(".") > text.rfind(","):
        return text.replace(",", "")
    if delimiter == "," and "." not in text:
        return text.replace(",", "") if THOUSANDS.fullmatch(text) else text
    return text.replace(".", "").replace(",", ".")


def _known_concurrency(row: Row) -> float | None:
    number = row.number("concurrency")
    return number if math.isfinite(number) else None


def _reasons(row: Row) -> Iterator[str]:
    """Say why a row cannot be true; whether its numbers agree counts only if each of them is possible."""
    reasons = [reason for column in _CHECKS if (reason := _reason(row, column))]
    yield from reasons
    if not reasons and "query_tokens_per_s" in row.texts:
        yield from _disagreement(*(row.number(name) for name in (*NEEDED, "query_tokens_per_s")))


def _reason(row: Row, column: str) -> str | None:
    if column not in row.texts:
        return f"{column} is missing" if column in NEEDED else None
    number = row.number(column)
    if not math.isfinite(number):
        return f"{column} is {_short(row.texts[column])!r}, which is not a number"
    holds, problem = _CHECKS[column]
    return None if holds(number) else f"{column} is {number:g}, which is {problem}"


_ABOVE_0: tuple[Callable[[float], bool], str] = (lambda number: 0 < number < GREATEST, "not above 0, or too large")
_CHECKS: dict[str, tuple[Callable[[float], bool], str]] = {
    "concurrency": (lambda number: 1 <= number < GREATEST and number == int(number), "not a number of streams"),
    "system_tokens_per_s": _ABOVE_0,
    "query_tokens_per_s": _ABOVE_0,
    "ttft_s": _ABOVE_0,
}


def _disagreement(concurrency: float, system: float, query: float) -> Iterator[str]:
    """Compare both throughputs: on average a stream gets at least its share of the system's; a single one gets all."""
    total = concurrency * query
    if concurrency == 1 and abs(system - query) > AGREEMENT * max(system, query):
        yield f"one stream is the whole system, but query_tokens_per_s is {query:g} and system_tokens_per_s {system:g}"
    elif system > total * (1 + AGREEMENT):
        each = f"{concurrency:g} streams of query_tokens_per_s {query:g}"
        yield f"{each} make at most {total:g} tokens/s, but system_tokens_per_s is {system:g}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
