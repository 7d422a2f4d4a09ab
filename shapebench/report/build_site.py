"""All runs of a results file as static files, for any web server or bucket; only what changed is written again."""

import filecmp
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from shapebench.report.build_comparison import history_of
from shapebench.report.pages import history, site
from shapebench.results import database as warehouse
from shapebench.results import views
from shapebench.results.views import RunRow
from shapebench.support.atomic_file import atomic_write

_MADE_OF = ".made-of"  # what a page of plots was drawn from: they take seconds, and are drawn again only if it changed


@dataclass(frozen=True)
class Built:
    """The site's index, and which of its files were written this time."""

    index: Path
    written: tuple[Path, ...]


def build(data: Path, to: Path) -> Built:
    """Bring the site in this folder up to date with the results file."""
    runs = views.read_runs(data)[::-1]
    levels = warehouse.query(data, "FROM level_summary").to_pandas()
    written = [*_reports(data, to, runs), *_histories(data, to, runs, levels)]
    index = to / "index.html"
    text = site.page(runs, levels, site.Ways(dict(_reports_in(to, runs)), {r["run_id"]: _history_of(r) for r in runs}))
    return Built(index, (*written, *_write_if_new(index, text)))


def _reports(data: Path, to: Path, runs: list[RunRow]) -> Iterator[Path]:
    for run in runs:
        report = data / "reports" / run["run_id"]
        for file in sorted(report.rglob("*")):
            if file.is_file():
                yield from _copy_if_new(file, to / "runs" / run["run_id"] / file.relative_to(report))


def _copy_if_new(file: Path, copy: Path) -> Iterator[Path]:
    if copy.exists() and filecmp.cmp(file, copy):
        return
    copy.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(copy) as unfinished:
        shutil.copy2(file, unfinished)
    yield copy


def _reports_in(to: Path, runs: Iterable[RunRow]) -> Iterator[tuple[str, str]]:
    for run in runs:
        page = f"runs/{run['run_id']}/index.html"
        if (to / page).exists():
            yield run["run_id"], page


def _history_of(run: RunRow) -> str:
    """The same for all runs of one endpoint."""
    mark = hashlib.sha256(json.dumps(views.endpoint_key(run)).encode()).hexdigest()[:12]
    return f"endpoints/{mark}/index.html"


def _histories(data: Path, to: Path, runs: list[RunRow], levels: pd.DataFrame) -> Iterator[Path]:
    for way in dict.fromkeys(map(_history_of, runs)):
        alike = [run for run in runs if _history_of(run) == way]
        of_alike = levels[levels["run_id"].isin([run["run_id"] for run in alike])]
        yield from _history(data, to / way, alike, of_alike)


def _history(data: Path, page: Path, runs: list[RunRow], levels: pd.DataFrame) -> Iterator[Path]:
    made_of = page.with_name(_MADE_OF)
    mark = hashlib.sha256((json.dumps(runs, default=str) + levels.to_csv()).encode()).hexdigest()
    if page.exists() and made_of.exists() and made_of.read_text(encoding="utf-8") == mark:
        return
    history.write(history_of(data, runs[0]), page.parent)
    made_of.write_text(mark, encoding="utf-8")
    yield from sorted(file for file in page.parent.iterdir() if file.name != _MADE_OF)


def _write_if_new(page: Path, text: str) -> Iterator[Path]:
    if page.exists() and page.read_text(encoding="utf-8") == text:
        return
    page.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(page) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    yield page
