"""The pages for people, and the code spans, blocks and links in them."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
GENERATED = {"docs/validation.md", "docs/data-dictionary.md"}  # `make docs` writes them
PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in (
        *ROOT.glob("*.md"),
        *sorted(DOCS.glob("*.md")),
        ROOT / "bench" / "README.md",
        ROOT / "vllm" / "README.md",
    )
]
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<content>.*?)^```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"(?:^(?: {4}|\t).*\n)+", re.MULTILINE)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\]\((?!https?:|mailto:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]*))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced or indented block of a page."""

    language: str
    content: str


@cache
def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """Return all blocks; an indented one has no language."""
    text = read(page)
    fenced = [Block(match["language"], match["content"]) for match in FENCE.finditer(text)]
    return fenced + [Block("", match[0]) for match in INDENTED.finditer(FENCE.sub("", text))]


def spans(page: str) -> list[str]:
    """Return what stands between backticks outside of blocks."""
    return SPAN.findall(FENCE.sub("", read(page)))


def prose(page: str) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines outside of fenced blocks."""
    fenced = False
    for number, line in enumerate(read(page).splitlines(), 1):
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


def anchors(page: str) -> set[str]:
    """Return the anchors that GitHub makes of the page's headings."""
    plain = (re.sub(r"[`*]|\[|\]\([^)]*\)", "", heading) for heading in HEADING.findall(FENCE.sub("", read(page))))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}
