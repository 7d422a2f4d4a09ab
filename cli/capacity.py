"""What a search for the greatest concurrency found, as the command prints it."""

from typing import TYPE_CHECKING, Any

from cli.run import result_object
from shapebench.analysis.capacity.search import SearchResult
from shapebench.results import database as warehouse
from shapebench.spec.model import Spec

if TYPE_CHECKING:
    from flows.benchmark import Outcome


def search_object(spec: Spec, outcome: "Outcome") -> dict[str, Any]:
    """The answer first, then all that `run --json` prints; `interval` ends in null where no level surely fails."""
    (row,) = warehouse.query(spec.data, "FROM searches WHERE run_id = ?", [outcome.run_id]).to_pylist()
    found = SearchResult.from_row(row)
    return {
        "greatest_concurrency": found.greatest,
        "interval": [found.confident_pass, found.confident_fail],
        "limited_by": found.limited_by,
        "unusable": list(found.unusable),
        **result_object(spec, outcome),
    }
