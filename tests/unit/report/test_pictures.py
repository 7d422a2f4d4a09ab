"""Charts as pictures, drawn by processes of their own."""

from pathlib import Path

import altair as alt
import pytest

from shapebench.report.pages.pictures import VEGA_LITE, Painters, start_painters

POINT = {"data": {"values": [{"x": 1}]}, "mark": "point", "encoding": {"x": {"field": "x", "type": "quantitative"}}}


def test_charts_are_drawn_as_the_version_that_they_are_written_for() -> None:
    assert alt.SCHEMA_VERSION.startswith(f"v{VEGA_LITE}.")


def test_each_chart_has_its_two_pictures(tmp_path: Path) -> None:
    with start_painters(tmp_path) as painters:
        pictures = [painters.draw(name, POINT) for name in ("one", "two", "three")]
    assert [picture.name for picture in pictures] == ["one.svg", "two.svg", "three.svg"]
    assert all(picture.read_text().startswith("<svg") for picture in pictures)
    assert {file.name for file in tmp_path.glob("*.png")} == {"one.png", "two.png", "three.png"}


def test_what_cannot_be_drawn_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="conversion failed"), start_painters(tmp_path) as painters:
        painters.draw("wrong", {"mark": 5})


def test_a_painter_that_has_ended_early_says_why_in_place_of_a_broken_pipe(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="could not be drawn"), start_painters(tmp_path) as painters:
        draw_more_than_a_pipe_holds(painters)


def draw_more_than_a_pipe_holds(painters: Painters) -> None:
    for _ in range(1000):
        painters.draw("wrong", {"mark": 5, "title": "x" * 10_000})
