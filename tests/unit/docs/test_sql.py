"""Queries in the pages can be typed as they are; docs/sql.md names every view and macro that there is."""

import re
from pathlib import Path

import pytest

from shapebench.results import database
from tests.level_sample import RUN_ID, clean, run_tables
from tests.unit.docs.pages import PAGES, ROOT, blocks, spans

ANY_RUN_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")
QUERIES = {
    f"{page}-{number}": block.content
    for page in PAGES
    for number, block in enumerate((b for b in blocks(page) if b.language == "sql"), 1)
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a run at the levels that the pages speak of."""
    folder = tmp_path_factory.mktemp("queries") / "data"
    database.load(folder, RUN_ID, run_tables(folder, levels=[clean(folder, n) for n in (1, 8, 32)]))
    return folder


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_can_be_typed_as_it_is(data: Path, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.parent)
    database.query(data, ANY_RUN_ID.sub(RUN_ID, QUERIES[query]))


def test_there_are_ten_queries_for_analysts() -> None:
    assert sum(name.startswith("docs/sql.md-") for name in QUERIES) == 10


def test_a_query_for_numbers_of_the_run_finds_some(data: Path) -> None:
    found = database.query(data, ANY_RUN_ID.sub(RUN_ID, QUERIES["docs/sql.md-2"]))
    assert found["concurrency"].to_pylist() == [1, 8, 32]


@pytest.mark.parametrize("kind", ["views", "macros"])
def test_every_view_and_macro_is_named(kind: str) -> None:
    internal = {"t_quantile"}  # which the others are made with
    named = {span.partition("(")[0] for span in spans("docs/sql.md")}
    assert sorted({path.stem for path in (ROOT / "sql" / kind).glob("*.sql")} - named - internal) == []
