"""The regression check of a run in the results file against those before it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

from shapebench.analysis.regression import RegressionCheck, Row, Rule, check_regression
from shapebench.results import database
from shapebench.runs.run_file import RunNotFoundError


class _Run(TypedDict):
    run_id: str
    url: str
    model: str
    shape: str


@dataclass(frozen=True)
class RunCheck:
    """A run of the results file, and the result of its regression check."""

    run_id: str
    url: str
    model: str
    shape: str
    check: RegressionCheck

    def to_dict(self) -> dict[str, object]:
        """Return the check as plain values."""
        return {"run_id": self.run_id, **asdict(self.check)}


def check_run(data: Path, run_id: str | None, rule: Rule) -> RunCheck:
    """Check a run, or else the newest that shapebench measured; raises RunNotFoundError."""
    run = _read_run(data, run_id)
    sql = "FROM regressions(?, last_n := ?, min_effect := ?)"
    rows: list[Row] = database.query(data, sql, [run["run_id"], rule.last_n, rule.min_effect]).to_pylist()
    return RunCheck(run["run_id"], run["url"], run["model"], run["shape"], check_regression(rows, rule))


def _read_run(data: Path, run_id: str | None) -> _Run:
    which = "run_id = ?" if run_id else "source = 'shapebench'"
    newest = f"SELECT run_id, url, model, shape FROM runs WHERE {which} ORDER BY started_at DESC LIMIT 1"  # noqa: S608 - ours
    rows: list[_Run] = database.query(data, newest, [run_id] if run_id else None).to_pylist()
    if not rows:
        missing = f"run {run_id}" if run_id else "run that shapebench measured"
        raise RunNotFoundError(
            f"{data / database.FILE_NAME} has no {missing}.",
            "`shapebench runs` lists the runs; use another folder with --data.",
        )
    return rows[0]
