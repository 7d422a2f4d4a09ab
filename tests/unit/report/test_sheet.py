"""A sheet of paper: what is written keeps within it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapebench.report.pages.sheet import MARGIN, WIDTH, Sheet, text_width


def test_letters_are_as_wide_as_helvetica_has_them() -> None:
    assert text_width("Hamburgefonstiv", 10) == pytest.approx(75.58)  # by the font's own metrics


@given(st.text(min_size=1, max_size=400), st.booleans())
def test_no_line_is_wider_than_the_page(text: str, bold: bool) -> None:
    sheet = Sheet()
    sheet.write(text, 12, bold=bold, max_lines=3)
    assert all(text_width(line.text, line.size, bold=bold) <= WIDTH for line in sheet.lines)
    assert len(sheet.lines) <= 3


def test_a_word_that_is_too_long_is_broken() -> None:
    sheet = Sheet()
    sheet.write("m" * 100, 12)
    assert "".join(line.text for line in sheet.lines) == "m" * 100
    assert len(sheet.lines) == 2


def test_what_takes_too_many_lines_ends_in_dots() -> None:
    sheet = Sheet()
    sheet.write("word " * 500, 12, max_lines=2)
    assert [line.text.endswith("…") for line in sheet.lines] == [False, True]


def test_what_fits_is_written_as_it_is() -> None:
    sheet = Sheet()
    sheet.write("Suits at least 32 concurrent users", 12)
    assert [line.text for line in sheet.lines] == ["Suits at least 32 concurrent users"]


def test_lines_stand_one_below_the_other() -> None:
    sheet = Sheet()
    sheet.write("one", 10)
    sheet.skip(5)
    sheet.write("two", 10)
    first, second = sheet.lines
    assert second.y - first.y > 10


def test_cells_of_a_row_end_at_their_places() -> None:
    sheet = Sheet()
    sheet.row(["1", "valid"], [100, 200], 9)
    assert [(line.x, line.anchor) for line in sheet.lines] == [(MARGIN + 100, "end"), (MARGIN + 200, "end")]


def test_what_xml_cannot_hold_is_not_written() -> None:
    sheet = Sheet()
    sheet.write("a\x00b\x1b\ud800c", 10)
    assert [line.text for line in sheet.lines] == ["a b c"]
