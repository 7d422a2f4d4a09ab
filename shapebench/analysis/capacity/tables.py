"""SLO results and search results as rows of the results file."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from shapebench.analysis.capacity.search import Outcome, search_result
from shapebench.runs.records import Verdict
from shapebench.spec.model import Search
from shapebench.spec.slo import LevelResult, SloResult


def slo_rows(run_id: str, levels: Iterable[LevelResult]) -> Iterator[dict[str, object]]:
    """Yield a row of the table `slos` for each level and SLO."""
    for level in levels:
        for result in level.results:
            yield {"run_id": run_id, "concurrency": level.concurrency, **_slo_row(result)}


def _slo_row(result: SloResult) -> dict[str, object]:
    numbers = {"value": result.value, "low": result.low, "high": result.high, "margin": result.margin}
    return {
        "slo": str(result.slo),
        **asdict(result.slo),
        "evaluated_stat": result.stat,
        **{name: number if math.isfinite(number) else None for name, number in numbers.items()},
        "passes": result.passes if result.is_known else None,
    }


def search_row(run_id: str, search: Search, levels: Iterable[LevelResult], verdict: Verdict) -> dict[str, object]:
    """Return the row of the table `searches` for a search."""
    outcomes = (Outcome.of_level(level, verdict.levels[level.concurrency]) for level in levels)
    result = search_result(outcomes, search.min_level)
    return {
        "run_id": run_id,
        "min_level": search.min_level,
        "max_level": search.max_level,
        "greatest_concurrency": result.greatest,
        "confident_pass": result.confident_pass,
        "confident_fail": result.confident_fail,
        "limited_by": result.limited_by,
        "unusable": list(result.unusable),
    }
