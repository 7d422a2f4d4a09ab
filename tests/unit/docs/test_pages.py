"""Pages have lines of a readable length, links that lead somewhere, and a place in the index."""

import re

import pytest

from tests.unit.docs.pages import DOCS, GENERATED, LINK, PAGES, ROOT, anchors, prose, read

MAX_LINE = 120
MAX_README_LINES = 130
WRITTEN = [page for page in PAGES if page not in GENERATED]


@pytest.mark.parametrize("page", WRITTEN)
def test_lines_are_short_but_for_tables_code_and_links(page: str) -> None:
    exempt = ("|", "   |", "    ", "![")
    long = [n for n, line in prose(page) if len(line) > MAX_LINE and not line.startswith(exempt) and "](" not in line]
    assert not long


def test_the_readme_is_short() -> None:
    lines = read("README.md").splitlines()
    assert len(lines) <= MAX_README_LINES
    assert max(map(len, lines)) <= MAX_LINE


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings_that_exist(page: str) -> None:
    folder = (ROOT / page).parent
    broken = []
    for link in LINK.finditer(read(page)):
        target = (folder / link["path"]).resolve() if link["path"] else ROOT / page
        headings = anchors(target.relative_to(ROOT).as_posix()) if link["anchor"] and target.exists() else ()
        if not target.exists() or (link["anchor"] and link["anchor"] not in headings):
            broken.append(link[0])
    assert not broken


def test_the_index_names_every_page() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)", read("docs/README.md")))
    assert linked == {page.name for page in DOCS.glob("*.md")} - {"README.md"}
