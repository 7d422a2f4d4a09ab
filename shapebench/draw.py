"""From the results file to a report: everything that it shows has been stored."""

import json
from pathlib import Path
from typing import Any

from shapebench import report, warehouse
from shapebench.runs import RunNotFoundError

JSON_COLUMNS = ("spec", "facts", "versions", "machine")


def draw(data: Path, run_id: str) -> Path:
    """Write a run's page and pictures to DATA/reports/RUN_ID; gives the page."""
    content = report.Report(
        run=_run(data, run_id),
        levels=warehouse.levels_of(data, "level_summary", run_id),
        findings=warehouse.levels_of(data, "findings", run_id),
    )
    return report.write(content, data / "reports" / run_id)


def _run(data: Path, run_id: str) -> dict[str, Any]:
    rows = warehouse.query(data, "FROM runs WHERE run_id = ?", [run_id]).to_pylist()
    if not rows:
        raise RunNotFoundError(
            f"{data / warehouse.FILE_NAME} has no run {run_id}.", "`shapebench runs` lists the runs."
        )
    return {**rows[0], **{name: json.loads(rows[0][name]) for name in JSON_COLUMNS}}
