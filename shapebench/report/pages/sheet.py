"""Layout of a page of text from the top: paragraphs that wrap, and rows of a table."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

from shapebench.report.charts.theme import printable

A4 = (595, 842)  # pt
MARGIN = 44
WIDTH = A4[0] - 2 * MARGIN
LEADING = 1.36  # line height over font size

# Widths of the ASCII characters from the space on, in thousandths of the font size: those of Helvetica, which Arial
# and Liberation Sans share.
_WIDTHS = (
    *(278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, *(556,) * 10),
    *(278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833),
    *(722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333),
    *(556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278),
    *(556, 500, 722, 500, 500, 500, 334, 260, 334, 584),
)
_BOLD = 1.1  # upper bound over the regular font
_OTHER, _WIDE = 720, 1050  # of characters outside ASCII; of East Asian wide ones


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Estimate the width of a line of text (pt), rounded up."""
    thousandths = sum(map(_letter, text))
    return thousandths / 1000 * size * (_BOLD if bold else 1)


def _letter(letter: str) -> int:
    if " " <= letter <= "~":
        return _WIDTHS[ord(letter) - 32]
    return _WIDE if unicodedata.east_asian_width(letter) in "WF" else _OTHER


@dataclass(frozen=True)
class Line:
    """A line of text and the position of its anchor (pt)."""

    x: float
    y: float
    text: str
    size: float
    colour: str = "ink"
    bold: bool = False
    anchor: str = "start"


@dataclass
class Sheet:
    """Text on a page, and the y position (pt) of its end."""

    y: float = MARGIN
    lines: list[Line] = field(default_factory=list)
    rules: list[float] = field(default_factory=list)  # across the page, at these heights

    def write(self, text: str, size: float, *, colour: str = "ink", bold: bool = False, max_lines: int = 4) -> None:
        """Add a paragraph, cut to a number of lines."""
        wrapped = [*_wrap(printable(text), size, bold=bold)]
        if len(wrapped) > max_lines:
            wrapped = [*wrapped[: max_lines - 1], _cut(wrapped[max_lines - 1], size, bold=bold)]
        for line in wrapped:
            self.y += size * LEADING
            self.lines.append(Line(MARGIN, self.y, line, size, colour, bold))

    def row(self, cells: list[str], ends: list[float], size: float, *, colour: str = "ink", bold: bool = False) -> None:
        """Add a table row of right-aligned cells that end at these x positions."""
        self.y += size * LEADING
        for text, end in zip(cells, ends, strict=True):
            self.lines.append(Line(MARGIN + end, self.y, printable(text), size, colour, bold, "end"))

    def rule(self) -> None:
        """Add a horizontal line."""
        self.y += 5
        self.rules.append(self.y)

    def skip(self, points: float) -> None:
        """Add vertical space."""
        self.y += points


def _wrap(text: str, size: float, *, bold: bool) -> Iterator[str]:
    line = ""
    for word in _words(text, size, bold=bold):
        longer = f"{line} {word}" if line else word
        if line and text_width(longer, size, bold=bold) > WIDTH:
            yield line
            line = word
        else:
            line = longer
    yield line


def _words(text: str, size: float, *, bold: bool) -> Iterator[str]:
    """Split text into words, and words that are longer than a line into parts."""
    for word in text.split():
        part = ""
        for letter in word:
            if text_width(part + letter, size, bold=bold) > WIDTH:
                yield part
                part = ""
            part += letter
        yield part


def _cut(line: str, size: float, *, bold: bool) -> str:
    while line and text_width(f"{line}…", size, bold=bold) > WIDTH:
        line = line[:-1]
    return f"{line}…"
