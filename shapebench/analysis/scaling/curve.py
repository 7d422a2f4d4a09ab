"""A throughput curve that somebody else measured, out of a CSV file."""

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
WELCOME = ("query_tokens_per_s", "ttft_s", *NOISES)
DELIMITERS = ",;\t|"
MISSING = frozenset({"", "-", "na", "n/a", "nan", "null", "none"})
AGREEMENT = 0.05  # within which query and system throughput are the same
GREATEST = 1e12  # no number of a benchmark is beyond it
GROUPS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
LONGEST_TEXT = 30
ENCODINGS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # as Excel's "Unicode text"
REMEDY = (
    f"Name a CSV file with a header, a row for each level, and the columns {' and '.join(NEEDED)} (tokens/s of all "
    "streams together); query_tokens_per_s (of each) and ttft_s are welcome."
)


class CurveError(ShapebenchError):
    """A file holds no curve."""


@dataclass(frozen=True)
class Impossible:
    """A row that cannot be true."""

    row: int  # its line in the file, from 1
    concurrency: float | None
    reason: str


@dataclass(frozen=True, eq=False)
class Curve:
    """`rows`: those that can be true, with their numbers (NaN: missing) and `row`."""

    rows: pd.DataFrame
    impossible: tuple[Impossible, ...]


@dataclass(frozen=True)
class Row:
    """A line of the file; `texts` are those of its cells that are not missing."""

    line: int
    texts: Mapping[str, str]
    comma: str  # what a comma between digits is: "" between thousands, "." before decimals

    def number(self, column: str) -> float:
        """NaN where it is missing, or no number."""
        text = self.texts.get(column, "").replace("\u00a0", "").replace(" ", "")
        with suppress(ValueError):
            return float(_plain(text, self.comma))
        return math.nan

    def has(self, column: str) -> bool:
        return column in self.texts


def read_curve(file: Path) -> Curve:
    """Comments begin with #; between columns are commas, semicolons, tabs or bars. Raises CurveError."""
    lines = _lines(file)
    header, delimiter = _header(file, lines)
    rows = [*_rows(lines, header, delimiter)]
    if not rows:
        raise CurveError(f"{file} holds no row below its header", REMEDY)
    reasons = {row.line: "; ".join(_reasons(row)) for row in rows}
    possible = [row for row in rows if not reasons[row.line]]
    columns = {name: [row.number(name) for row in possible] for name in (*NEEDED, *WELCOME)}
    impossible = [Impossible(row.line, _known(row), reasons[row.line]) for row in rows if reasons[row.line]]
    return Curve(pd.DataFrame({"row": [row.line for row in possible], **columns}), tuple(impossible))


def _lines(file: Path) -> list[str]:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise CurveError(f"Cannot read {file}: {error.strerror}", REMEDY) from None
    return raw.decode(ENCODINGS.get(raw[:2], "utf-8-sig"), errors="replace").splitlines()


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _header(file: Path, lines: list[str]) -> tuple[int, str]:
    """Where the header is, and what is between columns: the first line that names both; some write it as a comment."""
    for place, line in sorted(enumerate(lines), key=lambda numbered: _is_comment(numbered[1])):
        for delimiter in DELIMITERS:
            if set(NEEDED) <= set(_names(line, delimiter)):
                return place, delimiter
    first = next((line for line in lines if line.strip() and not _is_comment(line)), None)
    if first is None:
        raise CurveError(f"{file} is empty", REMEDY)
    found = max((_names(first, delimiter) for delimiter in DELIMITERS), key=len)
    lacks = ", ".join(name for name in NEEDED if name not in found)
    raise CurveError(f"{file} has no column {lacks}; it has {', '.join(map(_short, found))}", REMEDY)


def _names(line: str, delimiter: str) -> list[str]:
    """`Query tokens/s ` and `query_tokens_per_s` are one name."""
    cells = _cells(line, delimiter)
    return [re.sub(r"[\W_]+", "_", cell.lower().replace("/s", "_per_s")).strip("_") for cell in cells]


def _cells(line: str, delimiter: str) -> list[str]:
    with suppress(csv.Error):  # longer than any cell
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    return []


def _rows(lines: list[str], header: int, delimiter: str) -> Iterator[Row]:
    names, comma = _names(lines[header], delimiter), "" if delimiter == "," else "."
    for place, line in enumerate(lines[header + 1 :], header + 2):
        cells = [] if _is_comment(line) else _cells(line, delimiter)
        pairs = [*zip(names, cells, strict=False)][::-1]  # of two columns of a name, the first counts
        texts = {name: cell for name, cell in pairs if cell.lower() not in MISSING}
        if texts:
            yield Row(place, texts, comma)


def _plain(text: str, comma: str) -> str:
    """As Python writes numbers; where there are a point and a comma, the last of them is before the decimals."""
    if "," not in text or "_" in text:
        return text.replace("_", "?")
    if "." in text:
        return text.replace(",", "") if text.rindex(".") > text.rindex(",") else text.replace(".", "").replace(",", ".")
    return text.replace(",", comma) if comma or GROUPS.fullmatch(text) else text


def _known(row: Row) -> float | None:
    number = row.number("concurrency")
    return number if math.isfinite(number) else None


def _reasons(row: Row) -> Iterator[str]:
    """Why a row cannot be true; whether its numbers agree is asked only of numbers that can be."""
    single = [reason for column in _CHECKS for reason in [_reason(row, column)] if reason]
    yield from single
    if not single and row.has("query_tokens_per_s"):
        yield from _disagreement(*(row.number(name) for name in (*NEEDED, "query_tokens_per_s")))


def _reason(row: Row, column: str) -> str | None:
    if not row.has(column):
        return f"{column} is missing" if column in NEEDED else None
    number = row.number(column)
    if not math.isfinite(number):
        return f"{column} is {_short(row.texts[column])!r}, which is no number"
    holds, says = _CHECKS[column]
    return None if holds(number) else f"{column} is {number:g}, which is {says}"


_ABOVE_0: tuple[Callable[[float], bool], str] = (lambda number: 0 < number < GREATEST, "not above 0, or too much")
_CHECKS: dict[str, tuple[Callable[[float], bool], str]] = {
    "concurrency": (lambda number: 1 <= number < GREATEST and number == int(number), "no number of streams"),
    "system_tokens_per_s": _ABOVE_0,
    "query_tokens_per_s": _ABOVE_0,
    "ttft_s": _ABOVE_0,
}


def _disagreement(concurrency: float, system: float, query: float) -> Iterator[str]:
    """A stream gets no less, on average, than its part of what all get; one that is alone gets all of it."""
    most = concurrency * query
    if concurrency == 1 and abs(system - query) > AGREEMENT * max(system, query):
        yield f"one stream is the whole system, but query_tokens_per_s is {query:g} and system_tokens_per_s {system:g}"
    elif system > most * (1 + AGREEMENT):
        each = f"{concurrency:g} streams of query_tokens_per_s {query:g}"
        yield f"{each} make at most {most:g} tokens/s, but system_tokens_per_s is {system:g}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
