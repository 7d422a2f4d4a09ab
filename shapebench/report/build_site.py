"""Build the static site of all runs, for any web server or bucket; only files that changed are written."""

import filecmp
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from shapebench.report.build_comparison import read_history
from shapebench.report.pages import history, site
from shapebench.results import views
from shapebench.results.views import RunRow
from shapebench.support.atomic_file import atomic_write

_SOURCE_HASH = (
    ".made-of"  # the hash of a page's data: a page with plots takes seconds, and is only written if it changed
)


@dataclass(frozen=True)
class Built:
    """The site's index, and the files that were written this time."""

    index: Path
    written: tuple[Path, ...]


def build(data: Path, to: Path) -> Built:
    """Update the site in a folder from the results file."""
    runs = views.read_runs(data)[::-1]
    levels = views.read_level_summaries(data, [run["run_id"] for run in runs])
    written = [*_copy_reports(data, to, runs), *_write_histories(data, to, runs, levels)]
    index = to / "index.html"
    links = site.Links(_report_links(to, runs), {run["run_id"]: _history_link(run) for run in runs})
    return Built(index, (*written, *_write_if_new(index, site.render_index(runs, levels, links))))


def _copy_reports(data: Path, to: Path, runs: list[RunRow]) -> Iterator[Path]:
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


def _report_links(to: Path, runs: list[RunRow]) -> dict[str, str]:
    links = {run["run_id"]: f"runs/{run['run_id']}/index.html" for run in runs}
    return {run_id: link for run_id, link in links.items() if (to / link).exists()}


def _history_link(run: RunRow) -> str:
    """Return the address of the history page, the same for all runs of one endpoint."""
    mark = hashlib.sha256(json.dumps(views.endpoint_key(run)).encode()).hexdigest()[:12]
    return f"endpoints/{mark}/index.html"


def _write_histories(data: Path, to: Path, runs: list[RunRow], levels: pd.DataFrame) -> Iterator[Path]:
    for link in dict.fromkeys(map(_history_link, runs)):
        of_endpoint = [run for run in runs if _history_link(run) == link]
        run_ids = [run["run_id"] for run in of_endpoint]
        yield from _write_history(data, to / link, of_endpoint, levels[levels["run_id"].isin(run_ids)])


def _write_history(data: Path, page: Path, runs: list[RunRow], levels: pd.DataFrame) -> Iterator[Path]:
    source = page.with_name(_SOURCE_HASH)
    mark = hashlib.sha256((json.dumps(runs, default=str) + levels.to_csv()).encode()).hexdigest()
    if page.exists() and source.exists() and source.read_text(encoding="utf-8") == mark:
        return
    history.write(read_history(data, runs[0]), page.parent)
    source.write_text(mark, encoding="utf-8")
    yield from sorted(file for file in page.parent.iterdir() if file.name != _SOURCE_HASH)


def _write_if_new(page: Path, text: str) -> Iterator[Path]:
    if page.exists() and page.read_text(encoding="utf-8") == text:
        return
    page.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(page) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    yield page
