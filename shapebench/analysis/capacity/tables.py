"""What levels were held against, and what a search found, as rows of the results file."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from shapebench.analysis.capacity.level_outcome import evidence
from shapebench.analysis.capacity.search import found
from shapebench.runs.records import Verdict
from shapebench.spec.model import Search
from shapebench.spec.slo import Held, Judged

Row = dict[str, Any]


def slo_rows(run_id: str, levels: Iterable[Judged]) -> Iterator[Row]:
    """A row for each level and SLO."""
    for level in levels:
        yield from ({"run_id": run_id, "concurrency": level.concurrency, **_row(held)} for held in level.held)


def _row(held: Held) -> Row:
    numbers = {"value": held.value, "low": held.low, "high": held.high, "margin": held.margin}
    return {
        "slo": str(held.slo),
        **asdict(held.slo),
        "judged_stat": held.stat,
        **{name: number if math.isfinite(number) else None for name, number in numbers.items()},
        "passes": held.passes if held.is_known else None,
    }


def search_row(run_id: str, search: Search, levels: Iterable[Judged], verdict: Verdict) -> Row:
    """The answer of a search, of all its levels and what they are worth."""
    answer = found((evidence(level, verdict.levels[level.concurrency]) for level in levels), search.min_level)
    return {
        "run_id": run_id,
        "least": search.min_level,
        "most": search.max_level,
        "greatest_concurrency": answer.greatest,
        "surely_keeps": answer.surely_keeps,
        "surely_fails": answer.surely_fails,
        "limited_by": answer.limited_by,
        "unusable": list(answer.unusable),
    }
