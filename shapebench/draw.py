"""From the results file to a report: everything that it shows has been stored."""

import json
import shutil
from pathlib import Path
from typing import Any

from shapebench import warehouse
from shapebench.pages import run as report
from shapebench.records import DATA_DOCS
from shapebench.runs import RunNotFoundError

JSON_COLUMNS = ("spec", "facts", "versions", "machine")


def draw(data: Path, run_id: str) -> Path:
    """Write a run's page and pictures to DATA/reports/RUN_ID; gives the page."""
    folder = data / "reports" / run_id
    content = report.Report(
        run=_run(data, run_id),
        levels=warehouse.levels_of(data, "level_summary", run_id),
        findings=warehouse.levels_of(data, "findings", run_id),
        data_docs=_data_docs(data / "runs" / run_id / DATA_DOCS, folder / DATA_DOCS),
    )
    return report.write(content, folder)


def _data_docs(written: Path, beside_report: Path) -> str | None:
    """Put Great Expectations' pages beside the report, where validation has written some; gives the way to them."""
    if not written.exists():
        return None
    shutil.copytree(written, beside_report, dirs_exist_ok=True)
    return f"{beside_report.name}/index.html"


def _run(data: Path, run_id: str) -> dict[str, Any]:
    rows = warehouse.query(data, "FROM runs WHERE run_id = ?", [run_id]).to_pylist()
    if not rows:
        raise RunNotFoundError(
            f"{data / warehouse.FILE_NAME} has no run {run_id}.", "`shapebench runs` lists the runs."
        )
    return {**rows[0], **{name: json.loads(rows[0][name]) for name in JSON_COLUMNS}}
