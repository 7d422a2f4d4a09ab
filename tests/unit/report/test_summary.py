"""The one-page summary."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from shapebench.report.pages.kit import Figure, figure
from shapebench.report.pages.pictures import start_painters
from shapebench.report.pages.run import plots
from shapebench.report.pages.run_content import Report
from shapebench.report.pages.sheet import A4
from shapebench.report.pages.summary import render_svg, write
from tests.report_sample import LEVELS, level, sample

SVG = "{http://www.w3.org/2000/svg}"
LONG = "W" * 10_000


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> list[Figure]:
    folder = tmp_path_factory.mktemp("figures")
    with start_painters(folder) as painters:
        return [figure(plot, painters) for plot in dict(plots(sample()))["curves"][:2]]


def words(report: Report, figures: list[Figure]) -> list[str]:
    """Lines of the page itself, those of the plots left out."""
    page = ET.fromstring(render_svg(report, figures))  # noqa: S314 - our own
    return [text.text or "" for group in page.findall(f"{SVG}g") for text in group.findall(f"{SVG}text")]


def test_it_is_one_page_of_a4(tmp_path: Path, figures: list[Figure]) -> None:
    pdf = write(sample(), figures, tmp_path).read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1
    assert re.search(rb"/MediaBox\s*\[\s*0 0 595 842\s*\]", pdf)


def test_its_text_is_text(tmp_path: Path, figures: list[Figure]) -> None:
    pdf = write(sample(), figures, tmp_path).read_bytes()
    assert b"/ToUnicode" in pdf
    assert b"/Subtype /Image" not in pdf
    assert b"/Subtype/Image" not in pdf


def test_it_has_the_answer_its_reasons_and_both_plots(figures: list[Figure]) -> None:
    report = sample()
    said = " ".join(words(report, figures))
    assert report.title in said
    assert report.conclusion.headline in said
    assert all(sentence in said for sentence in report.conclusion.sentences)
    page = ET.fromstring(render_svg(report, figures))  # noqa: S314 - our own
    assert len(page.findall(f"{SVG}svg")) == 2


def test_every_level_is_a_row(figures: list[Figure]) -> None:
    lines = words(sample(), figures)
    assert all(str(concurrency) in lines for concurrency in LEVELS)
    assert lines.count("valid") == len(LEVELS)


def test_of_very_many_levels_those_that_have_room_are_rows(figures: list[Figure]) -> None:
    many = sample([{**level(5), "concurrency": at} for at in range(1, 31)])
    assert "18 more levels in the report." in words(many, figures)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param("宽" * 300, id="wide"),
        pytest.param(LONG, id="long", marks=pytest.mark.nightly),
        pytest.param(f"<script>{LONG}", id="script", marks=pytest.mark.nightly),
        pytest.param("\x00\x1b", id="none", marks=pytest.mark.nightly),
    ],
)
def test_no_name_runs_off_the_page(tmp_path: Path, figures: list[Figure], model: str) -> None:
    many = [{**level(5), "concurrency": at} for at in range(1, 31)]
    report = sample(many, model=model, url=f"http://{LONG}", shape=LONG, git_revision=LONG)
    page = ET.fromstring(render_svg(report, figures))  # noqa: S314 - our own
    lines = [text for group in page.findall(f"{SVG}g") for text in group.findall(f"{SVG}text")]
    assert all(float(text.attrib["y"]) < A4[1] for text in lines)
    assert write(report, figures, tmp_path).read_bytes().startswith(b"%PDF")


def test_it_says_how_it_was_measured(figures: list[Figure]) -> None:
    said = " ".join(words(sample(), figures))
    assert "Server: vllm 0.11.0." in said
    assert "input tokens mean 200, stddev 40" in said
    assert "shapebench 0.1.0, python 3.11.9, git 0123abc; seed 4711." in said


def test_a_run_that_another_tool_measured_has_one_too(tmp_path: Path) -> None:
    report = sample([level(0)], [], spec={}, facts={}, versions={}, machine={}, seed=None, git_revision=None)
    assert write(report, [], tmp_path).read_bytes().startswith(b"%PDF")
