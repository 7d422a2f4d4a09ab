"""Judge a run of the results file against those before it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shapebench.analysis.regression import RegressionCheck, Row, Rule, check_regression
from shapebench.results import database
from shapebench.runs.run_file import RunNotFoundError


@dataclass(frozen=True)
class Watched:
    """A run of the results file, and what is thought of it."""

    run_id: str
    url: str
    model: str
    shape: str
    judgement: RegressionCheck

    @property
    def as_object(self) -> dict[str, Any]:
        return {"run_id": self.run_id, **asdict(self.judgement)}


def watched(data: Path, run_id: str | None, rule: Rule) -> Watched:
    """Judge a run, or else the newest that shapebench measured; raises RunNotFoundError."""
    run = _run(data, run_id)
    asked = "FROM regressions(?, last_n := ?, min_effect := ?)"
    rows: list[Row] = database.query(data, asked, [run["run_id"], rule.last_n, rule.min_effect]).to_pylist()
    return Watched(run["run_id"], run["url"], run["model"], run["shape"], check_regression(rows, rule))


def _run(data: Path, run_id: str | None) -> dict[str, Any]:
    which = "run_id = ?" if run_id else "source = 'shapebench'"
    newest = f"SELECT run_id, url, model, shape FROM runs WHERE {which} ORDER BY started_at DESC LIMIT 1"  # noqa: S608 - ours
    rows = database.query(data, newest, [run_id] if run_id else None).to_pylist()
    if not rows:
        missing = f"run {run_id}" if run_id else "run that shapebench measured"
        raise RunNotFoundError(
            f"{data / database.FILE_NAME} has no {missing}.",
            "`shapebench runs` lists the runs; --data names a folder.",
        )
    run: dict[str, Any] = rows[0]
    return run
