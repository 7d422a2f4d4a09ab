"""What a search for the greatest concurrency found, as the command prints it."""

from typing import Any

from cli import run
from shapebench.analysis.capacity.search import SearchResult
from shapebench.results import database as warehouse
from shapebench.spec.model import Spec


def as_object(spec: Spec, outcome: Any) -> dict[str, Any]:
    """The answer first, then all that `run --json` prints; `interval` ends in null where no level surely fails."""
    (row,) = warehouse.query(spec.data, "FROM searches WHERE run_id = ?", [outcome.run_id]).to_pylist()
    found = SearchResult.from_row(row)
    return {
        "greatest_concurrency": found.greatest,
        "interval": [found.confident_pass, found.confident_fail],
        "limited_by": found.limited_by,
        "unusable": list(found.unusable),
        **run.as_object(spec, outcome),
    }
