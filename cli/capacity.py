"""JSON of a capacity search."""

from typing import TYPE_CHECKING

from cli.run import result_object
from shapebench.analysis.capacity.search import SearchResult
from shapebench.results import views
from shapebench.spec.model import Spec

if TYPE_CHECKING:
    from flows.benchmark import Outcome


def search_object(spec: Spec, outcome: "Outcome") -> dict[str, object]:
    """Build what `capacity --json` prints, `run --json` included; `interval` ends in null where no level fails."""
    (row,) = views.read_searches(spec.data, outcome.run_id)
    result = SearchResult.from_row(row)
    return {
        "greatest_concurrency": result.greatest,
        "interval": [result.confident_pass, result.confident_fail],
        "limited_by": result.limited_by,
        "unusable": list(result.unusable),
        **result_object(spec, outcome),
    }
