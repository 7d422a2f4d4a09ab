"""A throughput curve that somebody else measured, out of a CSV file."""

import math
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pandas as pd

from shapebench.analysis.scaling.levels import NOISES
from shapebench.errors import ShapebenchError

NEEDED = ("concurrency", "system_tokens_per_s")
OPTIONAL = ("query_tokens_per_s", "ttft_s", *NOISES)
DELIMITER = re.compile(r"[,;\t|]")
MISSING = ["", "-", "na", "n/a", "nan", "null", "none"]
AGREEMENT = 0.05  # within which query and system throughput are the same
GREATEST = 1e12  # no number of a benchmark is beyond it
LONGEST_TEXT = 30
ENCODINGS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # as Excel's "Unicode text"
REMEDY = (
    f"Name a CSV file with a header, a row for each level, and the columns {' and '.join(NEEDED)} (tokens/s of all "
    "streams together); query_tokens_per_s (of each) and ttft_s may be there, too."
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
    """The `rows` that can be true, with their numbers (NaN: missing) and `row`, and those that cannot."""

    rows: pd.DataFrame
    impossible: tuple[Impossible, ...]


def read_curve(file: Path) -> Curve:
    """Read a CSV file; columns are separated by commas, semicolons, tabs or bars. Raises CurveError."""
    texts, numbers = _read_cells(file)
    reasons = {
        int(line): "; ".join(_reasons(*row))
        for line, *row in zip(texts.index, texts.to_dict("records"), numbers.to_dict("records"), strict=True)
    }
    possible = [line for line, reason in reasons.items() if not reason]
    rows = numbers.loc[possible].reset_index(names="row")
    finite = numbers["concurrency"].replace([math.inf, -math.inf], math.nan)
    impossible = [
        Impossible(line, None if pd.isna(finite[line]) else float(finite[line]), reason)
        for line, reason in reasons.items()
        if reason
    ]
    return Curve(rows, tuple(impossible))


def _read_cells(file: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the cells as texts and as numbers, by their lines in the file; columns that are not there are missing."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise CurveError(f"Cannot read {file}: {error.strerror}", REMEDY) from None
    lines = raw.decode(ENCODINGS.get(raw[:2], "utf-8-sig"), errors="replace").splitlines()
    header, delimiter = _find_header(file, lines)
    names, body = _names(lines[header]), "\n".join(lines[header + 1 :])
    places = {name: names.index(name) for name in (*NEEDED, *OPTIONAL) if name in names}
    try:
        cells = pd.read_csv(
            StringIO(body + "\n"),
            sep=delimiter,
            header=None,
            names=range(len(names)),
            dtype=str,
            comment="#",
            skip_blank_lines=False,  # so that a row's place is its line
            skipinitialspace=True,
            keep_default_na=False,
            engine="python",
            on_bad_lines=lambda cells: cells[: len(names)],
        )
    except pd.errors.ParserError as error:
        raise CurveError(f"{file} is no CSV file: {error}", REMEDY) from None
    cells.index += header + 2
    texts = pd.DataFrame({name: cells[place].str.replace(r"\s", "", regex=True) for name, place in places.items()})
    texts = texts.mask(texts.apply(lambda column: column.str.lower()).isin(MISSING)).dropna(how="all")
    if texts.empty:
        raise CurveError(f"{file} holds no row below its header", REMEDY)
    texts = texts.reindex(columns=[*NEEDED, *OPTIONAL]).astype("str")
    # A comma with digits and no point after it is before decimals, unless commas separate the columns.
    thousands, decimal = (".", ",") if delimiter != "," and re.search(r",\d*(?![\d.])", body) else (",", ".")
    plain = texts.apply(lambda column: column.str.replace(thousands, "").str.replace(decimal, "."))
    return texts, plain.apply(pd.to_numeric, errors="coerce").astype(float)


def _find_header(file: Path, lines: list[str]) -> tuple[int, str]:
    """Find the first line that names the needed columns, and its delimiter; some write the header as a comment."""
    for place, line in sorted(enumerate(lines), key=lambda numbered: numbered[1].lstrip().startswith("#")):
        delimiter = DELIMITER.search(line)
        if delimiter and set(NEEDED) <= set(_names(line)):
            return place, delimiter.group()
    first = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), None)
    if first is None:
        raise CurveError(f"{file} is empty", REMEDY)
    lacks = ", ".join(name for name in NEEDED if name not in _names(first))
    raise CurveError(f"{file} has no column {lacks}; it has {', '.join(map(_short, _names(first)))}", REMEDY)


def _names(header: str) -> list[str]:
    """Name columns alike: `Query tokens/s ` and `query_tokens_per_s` are the same."""
    cells = DELIMITER.split(header.lower().replace("/s", "_per_s"))
    return [re.sub(r"[\W_]+", "_", cell).strip("_") for cell in cells]


def _reasons(texts: Mapping[Hashable, object], numbers: Mapping[Hashable, float]) -> Iterator[str]:
    """Say why a row cannot be true; whether its numbers agree counts only if each of them is possible."""
    reasons = [reason for column in _CHECKS if (reason := _reason(column, texts[column], numbers[column]))]
    yield from reasons
    if not reasons and not math.isnan(numbers["query_tokens_per_s"]):
        yield from _disagreement(*(numbers[name] for name in (*NEEDED, "query_tokens_per_s")))


def _reason(column: str, text: object, number: float) -> str | None:
    if not isinstance(text, str):
        return f"{column} is missing" if column in NEEDED else None
    if not math.isfinite(number):
        return f"{column} is {_short(text)!r}, which is no number"
    holds, problem = _CHECKS[column]
    return None if holds(number) else f"{column} is {number:g}, which is {problem}"


_ABOVE_0: tuple[Callable[[float], bool], str] = (lambda number: 0 < number < GREATEST, "not above 0, or too much")
_CHECKS: dict[str, tuple[Callable[[float], bool], str]] = {
    "concurrency": (lambda number: 1 <= number < GREATEST and number == int(number), "no number of streams"),
    "system_tokens_per_s": _ABOVE_0,
    "query_tokens_per_s": _ABOVE_0,
    "ttft_s": _ABOVE_0,
}


def _disagreement(concurrency: float, system: float, query: float) -> Iterator[str]:
    """Compare both throughputs: a stream gets at least, on average, its part of the system's; one alone gets all."""
    total = concurrency * query
    if concurrency == 1 and abs(system - query) > AGREEMENT * max(system, query):
        yield f"one stream is the whole system, but query_tokens_per_s is {query:g} and system_tokens_per_s {system:g}"
    elif system > total * (1 + AGREEMENT):
        each = f"{concurrency:g} streams of query_tokens_per_s {query:g}"
        yield f"{each} make at most {total:g} tokens/s, but system_tokens_per_s is {system:g}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
