"""The PDF summary of a run on one page: conclusion, Figure 2, levels and test setup."""

import re
from pathlib import Path

import vl_convert

from shapebench.report.charts.theme import PALETTES
from shapebench.report.pages.columns import COLUMNS
from shapebench.report.pages.kit import Figure, environment
from shapebench.report.pages.origin import setup_sentences
from shapebench.report.pages.run_content import Report
from shapebench.report.pages.sheet import A4, MARGIN, WIDTH, Sheet

NAME = "summary.pdf"
_GAP = 14  # between two plots (pt)
_PLOT_WIDTH = (WIDTH - _GAP) / 2  # pt
_MAX_SENTENCES = 6
_MAX_LEVELS = 12
_COLUMNS = [column for column in COLUMNS if column.source != "steady_tokens_per_s"]
_HEADS = (
    ("users", "", 30),
    ("requests", "", 41),
    ("failed", "", 32),
    ("tokens/s", "system", 48),
    ("tokens/s", "query", 46),
    ("TTFT (ms)", "mean", 50),
    ("", "p50", 42),
    ("", "p95", 42),
    ("", "p99", 42),
    ("ITL (ms)", "p50", 48),
    ("", "p99", 36),
)


def write(report: Report, figures: list[Figure], folder: Path) -> Path:
    """Write `folder/summary.pdf`, with two figures at the top and two more below where there is room."""
    path = folder / NAME
    path.write_bytes(vl_convert.svg_to_pdf(render_svg(report, figures)))
    return path


def render_svg(report: Report, figures: list[Figure]) -> str:
    """Render the page as SVG."""
    sheet = Sheet()
    bar = _conclusion(sheet, report)
    pictures = [*_side_by_side(sheet, figures[:2])]
    _levels(sheet, report)
    _setup(sheet, report)
    sheet.skip(14)
    if sheet.y + _height(figures[2:4]) < A4[1] - MARGIN / 2:
        pictures += _side_by_side(sheet, figures[2:4])
    content = {"verdict": report.run["verdict"], "bar": bar, "sheet": sheet, "pictures": pictures}
    template = environment().get_template("summary.svg.j2")
    return template.render(size=A4, margin=MARGIN, palette=PALETTES["light"], **content)


def _conclusion(sheet: Sheet, report: Report) -> tuple[float, float]:
    """Write title and conclusion; returns the top and bottom of the conclusion."""
    sheet.write(report.title, 16, bold=True, max_lines=2)
    sheet.skip(2)
    sheet.write(setup_sentences(report.run)[0], 8.5, colour="faint", max_lines=2)
    sheet.skip(14)
    top = sheet.y
    verdict = report.run["verdict"]
    sheet.write(f"{verdict} measurement", 9.5, colour=verdict, bold=True)
    sheet.write(report.conclusion.headline, 15, bold=True, max_lines=2)
    sheet.skip(3)
    for sentence in report.conclusion.sentences[:_MAX_SENTENCES]:
        sheet.write(sentence, 9.5, max_lines=3)
        sheet.skip(2)
    if more := report.conclusion.sentences[_MAX_SENTENCES:]:
        sheet.write(f"{len(more)} more sentences in the report.", 9.5, colour="faint")
    bottom = sheet.y + 5
    sheet.skip(20)
    return top, bottom


def _side_by_side(sheet: Sheet, figures: list[Figure]) -> list[str]:
    """Nest SVG in SVG, so that text stays text."""
    pictures = [
        _nested_svg(MARGIN + at * (_PLOT_WIDTH + _GAP), sheet.y, figure.svg) for at, figure in enumerate(figures)
    ]
    sheet.skip(_height(figures) + 4)
    return pictures


def _nested_svg(x: float, y: float, svg: str) -> str:
    """Place a picture in another one."""
    head, drawing = svg.split(">", maxsplit=1)
    box = re.search(r'viewBox="[^"]*"', head)
    assert box  # Vega writes one
    return f'<svg x="{x}" y="{y}" width="{_PLOT_WIDTH}" height="{_PLOT_WIDTH / _aspect_ratio(svg)}" {box[0]}>{drawing}'


def _height(figures: list[Figure]) -> float:
    return max((_PLOT_WIDTH / _aspect_ratio(figure.svg) for figure in figures), default=0)


def _aspect_ratio(svg: str) -> float:
    """Return width over height."""
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert box
    return float(box[1]) / float(box[2])


def _levels(sheet: Sheet, report: Report) -> None:
    ends, size = _column_ends(), 8.5
    first, second = [head[0] for head in _HEADS], [head[1] for head in _HEADS]
    sheet.row([*first, ""], ends, size, colour="faint")
    sheet.row([*second, "verdict"], ends, size, colour="faint")
    sheet.rule()
    levels = report.levels.sort_values("concurrency").to_dict("records")
    for level in levels[:_MAX_LEVELS]:
        sheet.row([*(column.cell(level) for column in _COLUMNS), str(level["verdict"])], ends, size)
    if more := levels[_MAX_LEVELS:]:
        sheet.write(f"{len(more)} more levels in the report.", size, colour="faint")
    sheet.skip(14)


def _column_ends() -> list[float]:
    widths = [head[2] for head in _HEADS]
    return [*(sum(widths[: at + 1]) for at in range(len(widths))), WIDTH]


def _setup(sheet: Sheet, report: Report) -> None:
    sheet.write("Test setup", 10.5, bold=True)
    sheet.skip(2)
    for sentence in setup_sentences(report.run)[1:]:
        sheet.write(sentence, 8.5, max_lines=2)
