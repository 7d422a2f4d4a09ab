"""Great Expectations' pages for a run, as a reader without a network finds them."""

import re
import subprocess
import sys
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from expectations import validate as validation
from expectations.expectations import LEVEL, gxe
from expectations.validate import validate
from shapebench.analysis.measured_level import MeasuredLevel, summarise_level
from tests.level_sample import CLIENT, clean, closed_loop, level

ROOT = Path(__file__).parents[3]
HOSTILE = "<script>alert(1)</script>$template\"'"
SAYS = "In 1 of 10 answers the number of chunks is not that of the tokens that the server counted, "


def with_merged_chunks(data: Path) -> MeasuredLevel:
    """At concurrency 2, the answer to the last request has 9 tokens in its chunks, and 10 counted."""
    samples = closed_loop(2)
    last = replace(samples[-1], chunk_tokens=[1] * 9, chunk_offsets_s=samples[-1].chunk_offsets_s[1:])
    return summarise_level(level(data, 2, [*samples[:-1], last]))


def with_a_busy_client(data: Path) -> MeasuredLevel:
    return clean(data, 4, client=CLIENT | {"cpu_share": 0.9, "cpu_s": 9.0})


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of a run of a clean level, one with an odd answer, one with a busy client, and one without samples."""
    data = tmp_path_factory.mktemp("data")
    levels = [clean(data, 1), with_merged_chunks(data), with_a_busy_client(data), summarise_level(level(data, 8, None))]
    validate(levels, docs=data / "of run" / "docs")
    return data / "of run" / "docs"


class Rows(HTMLParser):
    """The texts of a page's outermost table's cells, row by row."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.depth = 0
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        self.depth += tag == "table"
        if self.depth == 1 and tag == "tr":
            self.rows.append([])
        if self.depth == 1 and tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag == "table"

    def handle_data(self, data: str) -> None:
        if self.depth and self.rows and self.rows[-1]:
            self.rows[-1][-1] = f"{self.rows[-1][-1]} {' '.join(data.split())}".strip()


def rows(page: Path) -> list[list[str]]:
    return Rows(page).rows[1:]


def text(page: Path) -> str:
    return unescape(page.read_text(encoding="utf-8"))


def test_the_index_lists_each_level_and_what_came_of_it(docs: Path) -> None:
    assert [(status, name, worst) for status, name, _, worst in rows(docs / "index.html")] == [
        ("✓ Succeeded", "Concurrency 1: level", "-"),
        ("✓ Succeeded", "Concurrency 1: answers", "-"),
        ("✓ Succeeded", "Concurrency 2: level", "-"),
        ("✗ Failed", "Concurrency 2: answers", "warning (suspect)"),
        ("✗ Failed", "Concurrency 4: level", "critical (invalid)"),
        ("✓ Succeeded", "Concurrency 4: answers", "-"),
        ("✗ Failed", "Concurrency 8: level", "critical (invalid)"),
    ]


def test_the_index_says_how_many_expectations_of_each_page_hold(docs: Path) -> None:
    held = {
        page.name: [status for status, *_ in rows(page)].count("✓ Succeeded") for page in docs.glob("concurrency-*")
    }
    counted = {page.name: f"{held[page.name]} of {len(rows(page))}" for page in docs.glob("concurrency-*")}
    linked = re.findall(r'href="([^"]*)"', text(docs / "index.html"))
    assert dict(zip(linked, (count for _, _, count, _ in rows(docs / "index.html")), strict=True)) == counted


def test_the_index_leads_to_every_page_and_to_nothing_else(docs: Path) -> None:
    linked = re.findall(r'href="([^"]*)"', text(docs / "index.html"))
    assert sorted([*linked, "index.html"]) == sorted(path.name for path in docs.iterdir())


def test_every_page_leads_back_to_the_index(docs: Path) -> None:
    for page in docs.glob("concurrency-*.html"):
        assert re.findall(r'href="([^"]*)"', text(page)) == ["index.html"]


def test_the_run_is_named(docs: Path) -> None:
    for page in docs.iterdir():
        assert "20260714T093000-a1b2c3" in text(page)


def test_a_page_has_a_row_for_each_expectation(tmp_path: Path) -> None:
    verdict = validate([with_a_busy_client(tmp_path)], docs=tmp_path / "docs")
    shown = [row[1] for page in (tmp_path / "docs").glob("concurrency-*") for row in rows(page)]
    assert sorted(shown) == sorted(finding.sentence for finding in verdict.findings)


def test_an_expectation_that_failed_comes_first_with_what_was_seen_its_severity_and_reason(docs: Path) -> None:
    assert rows(docs / "concurrency-0004-level.html")[0] == [
        "✗ Failed",
        "A measuring process was busy for 90% of the time, where 85% are allowed. Set load.processes to 2.",
        "0.9",
        "critical (invalid)",
        "If the client is the bottleneck, the client is measured, not the server.",
    ]


def test_unexpected_answers_are_listed(docs: Path) -> None:
    status, expectation, observed, *_ = rows(docs / "concurrency-0002-answers.html")[0]
    assert (status, observed) == ("✗ Failed", "10% unexpected")
    assert expectation.startswith(f"{SAYS}in one of them 9 instead of 10: ")
    assert expectation.endswith("1 unexpected values found. 10% of 10 total rows. Unexpected Value Count 9, 10 1")


def test_what_failed_at_one_level_is_on_no_page_of_another(docs: Path) -> None:
    assert [page.name for page in docs.iterdir() if SAYS in text(page)] == ["concurrency-0002-answers.html"]


def test_an_expectation_that_held_is_said_as_it_is(docs: Path) -> None:
    assert ["✓ Succeeded", "No request failed.", "0", "warning (suspect)"] in [
        row[:4] for row in rows(docs / "concurrency-0001-level.html")
    ]


def test_great_expectations_own_wording_of_expectations_is_nowhere(docs: Path) -> None:
    assert not [page for page in docs.iterdir() if "must be" in text(page) or "client_cpu_share" in text(page)]


def test_pages_load_nothing_and_run_nothing(docs: Path) -> None:
    for page in docs.iterdir():
        assert not re.search(r"https?://|url\(|@import|<(script|link|img|iframe)", text(page))


def test_pages_name_no_folder_of_the_machine(docs: Path) -> None:
    for page in docs.iterdir():
        assert str(docs.parents[1]) not in text(page)
        assert str(ROOT) not in text(page)
        assert sys.prefix not in text(page)


def test_an_expectation_that_could_not_be_checked_says_why_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = gxe.ExpectColumnValuesToMatchRegex(column="completed", regex="(")
    monkeypatch.setattr(validation, "LEVEL", (replace(LEVEL[0], name="wrong", check=wrong),))
    validate([clean(tmp_path, 1)], docs=tmp_path / "docs")
    page = tmp_path / "docs" / "concurrency-0001-level.html"
    assert rows(page)[0][1].startswith("The expectation wrong could not be checked: ")
    assert "Traceback" not in text(page)


def test_html_in_a_name_is_text(tmp_path: Path) -> None:
    odd = replace(clean(tmp_path, 1), level=replace(clean(tmp_path, 1).level, run_id=HOSTILE))
    validate([odd], docs=tmp_path / "docs")
    for page in (tmp_path / "docs").iterdir():
        assert "<script>" not in page.read_text(encoding="utf-8")
        assert HOSTILE in text(page)


def test_html_in_what_was_declared_is_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    never = gxe.ExpectColumnValuesToBeBetween(column="completed", max_value=0)
    hostile = replace(LEVEL[0], fails=HOSTILE, remedy=HOSTILE, reason=HOSTILE, check=never)
    monkeypatch.setattr(validation, "LEVEL", (hostile,))
    validate([clean(tmp_path, 1)], docs=tmp_path / "docs")
    page = tmp_path / "docs" / "concurrency-0001-level.html"
    assert "<script>" not in page.read_text(encoding="utf-8")
    assert rows(page)[0][1] == f"{HOSTILE} {HOSTILE}"


def test_the_verdict_is_the_same_with_pages_and_without(tmp_path: Path) -> None:
    levels = [with_merged_chunks(tmp_path), with_a_busy_client(tmp_path)]
    assert validate(levels, docs=tmp_path / "docs") == validate(levels)


def test_pages_of_an_earlier_validation_are_replaced(tmp_path: Path) -> None:
    validate([clean(tmp_path, 4)], docs=tmp_path / "docs")
    validate([with_a_busy_client(tmp_path)], docs=tmp_path / "docs")
    assert rows(tmp_path / "docs" / "concurrency-0004-level.html")[0][0] == "✗ Failed"


QUIET = """
import socket, sys
from pathlib import Path
from tests.level_sample import clean

def refuse(*arguments, **options):
    raise SystemExit(f"network: {arguments}")

socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from expectations.validate import validate
validate([clean(Path(sys.argv[1]), 2)], docs=Path(sys.argv[1]) / "docs")
"""


def test_writing_them_says_nothing_calls_nobody_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    data, temporary, home = (tmp_path / name for name in ("data", "temporary", "home"))
    for folder in (data, temporary, home):
        folder.mkdir()
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", QUIET, str(data)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(temporary), "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert sorted(path.name for path in data.iterdir()) == ["docs", "runs"]
    assert [*temporary.iterdir(), *home.iterdir()] == []
