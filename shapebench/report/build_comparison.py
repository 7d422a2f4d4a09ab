"""Build a page that compares runs from the results file."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from shapebench.analysis.capacity.search import Outcome
from shapebench.analysis.comparison.changes import changes
from shapebench.analysis.comparison.ranking import ranking
from shapebench.analysis.comparison.wording import headline, sentences
from shapebench.analysis.regression import Rule
from shapebench.errors import ShapebenchError
from shapebench.results import database, views
from shapebench.results.regression import check_run
from shapebench.results.views import RunRow
from shapebench.runs.run_file import RunNotFoundError
from shapebench.sizing.shapes import list_price_per_hour
from shapebench.spec.model import Limits
from shapebench.spec.slo import evaluate

if TYPE_CHECKING:
    from shapebench.report.pages.history import HistoryPage


class CompareError(ShapebenchError):
    """These runs cannot be compared in this way."""


@dataclass(frozen=True)
class ComparisonRequest:
    """The runs to compare; `prices` per hour of a shape replace list prices, `users` size the fleet."""

    data: Path
    runs: list[RunRow]
    prices: Mapping[str, float] = field(default_factory=dict)
    users: int | None = None

    @property
    def ids(self) -> list[str]:
        return [run["run_id"] for run in self.runs]

    def folder(self, view: str) -> Path:
        """Return the folder of the page, the same for the same runs."""
        mark = hashlib.sha256(" ".join(self.ids).encode()).hexdigest()[:8]
        return self.data / "comparisons" / f"{view}-{self.ids[-1]}-{mark}"


@dataclass(frozen=True)
class Comparison:
    """The page of a comparison, and its content as plain values."""

    page: Path
    answer: dict[str, Any]


def compare(request: ComparisonRequest, view: str | None = None) -> Comparison:
    """Write the page of a view: `changes`, `shapes` or `history`, by default chosen from the runs."""
    name = view or _default_view(request.runs)
    return VIEWS[name](request)


def find_runs(data: Path, names: Sequence[str]) -> list[RunRow]:
    """Find runs by ids or unique beginnings of ids, in order; raises RunNotFoundError that lists all wrong ones."""
    known = [row["run_id"] for row in database.query(data, "SELECT run_id FROM runs").to_pylist()]
    matching = {name: [run_id for run_id in known if run_id == name] or _with_prefix(known, name) for name in names}
    if wrong := [_not_found(name, matches) for name, matches in matching.items() if len(matches) != 1]:
        raise RunNotFoundError(
            "\n".join(wrong),
            "`shapebench runs` lists the runs; a unique prefix of an id suffices.",
        )
    return [views.read_run(data, matches[0]) for matches in matching.values()]


def _with_prefix(known: list[str], name: str) -> list[str]:
    return [run_id for run_id in known if name and run_id.startswith(name)]


def _not_found(name: str, matches: list[str]) -> str:
    return (
        f"{len(matches)} runs begin with {name}: {', '.join(matches[-4:])}." if matches else f"There is no run {name}."
    )


def _default_view(runs: list[RunRow]) -> str:
    """Choose the history of a single run, the changes between two on one shape and model, else the ranking."""
    if len(runs) == 1:
        return "history"
    return "changes" if len(runs) == 2 and len({(run["model"], run["shape"]) for run in runs}) == 1 else "shapes"


def _changes(request: ComparisonRequest) -> Comparison:
    from shapebench.report.pages import changes as page

    if len(request.runs) != 2:
        raise CompareError(
            f"The view changes compares two runs, not {len(request.runs)}.", "Give two runs, or use another --view."
        )
    differences = _frame(request, "FROM compare_runs(?, ?)", request.ids)
    result = changes(differences)
    written = page.write(
        page.ChangesPage(request.runs, _levels(request), differences, result), request.folder("changes")
    )
    answer = {"headline": result.headline, "sentences": result.sentences, "judged": _records(result.tested)}
    return _comparison("changes", request, written, {**answer, "differences": _records(differences)})


def _shapes(request: ComparisonRequest) -> Comparison:
    from shapebench.analysis.comparison.labels import labels
    from shapebench.report.pages import ranking as page

    limits = Limits.model_validate(request.runs[0]["spec"].get("limits", {}))
    levels = _levels(request)
    ranked = ranking(levels, _outcomes(request, levels, limits), _prices(request), request.users)
    written = page.write(page.RankingPage(request.runs, levels, limits, ranked), request.folder("shapes"))
    names = labels(request.runs)
    words = {"headline": headline(ranked, names), "sentences": sentences(ranked, names)}
    slos = [str(slo) for slo in limits.slos]
    return _comparison(
        "shapes", request, written, {**words, "slos": slos, "ranking": [entry.as_object() for entry in ranked.entries]}
    )


def _outcomes(request: ComparisonRequest, levels: pd.DataFrame, limits: Limits) -> dict[str, list[Outcome]]:
    """Evaluate the limits on all levels, by run, with the intervals that a run has of the same numbers."""
    intervals: dict[tuple[str, int], dict[tuple[str, str], tuple[float, float]]] = defaultdict(dict)
    for row in views.read_slos(request.data, request.ids):
        if row["low"] is not None and row["high"] is not None:
            intervals[row["run_id"], row["concurrency"]][row["metric"], row["stat"]] = row["low"], row["high"]
    outcomes: dict[str, list[Outcome]] = {run_id: [] for run_id in request.ids}
    for level in levels.to_dict("records"):
        run_id, concurrency = level["run_id"], level["concurrency"]
        result = evaluate(level, limits.slos, intervals[run_id, concurrency])
        outcomes[run_id].append(Outcome.of_level(result, level["verdict"]))
    return outcomes


def _prices(request: ComparisonRequest) -> dict[str, float]:
    """Return the given prices, and list prices for all other shapes."""
    listed = {run["shape"]: list_price_per_hour(run["shape"]) for run in request.runs}
    return {**{shape: price for shape, price in listed.items() if price is not None}, **request.prices}


def _history(request: ComparisonRequest) -> Comparison:
    from shapebench.report.pages import history as page

    content = read_history(request.data, request.runs[-1])
    written = page.write(content, request.folder("history"))
    return _comparison("history", request, written, asdict(content.newest_check))


def read_history(data: Path, run: RunRow) -> "HistoryPage":
    """Read all runs of a run's endpoint, oldest first, each with its regression check."""
    from shapebench.report.pages.history import HistoryPage

    of_endpoint = ComparisonRequest(data, views.read_endpoint_runs(data, run))
    checks = {run_id: check_run(data, run_id, Rule()).check for run_id in of_endpoint.ids}
    return HistoryPage(of_endpoint.runs, _levels(of_endpoint), checks)


VIEWS: dict[str, Callable[[ComparisonRequest], Comparison]] = {
    "changes": _changes,
    "shapes": _shapes,
    "history": _history,
}


def _levels(request: ComparisonRequest) -> pd.DataFrame:
    return views.read_level_summaries(request.data, request.ids)


def _frame(request: ComparisonRequest, sql: str, parameters: list[Any]) -> pd.DataFrame:
    frame: pd.DataFrame = database.query(request.data, sql, parameters).to_pandas()
    return frame


def _comparison(view: str, request: ComparisonRequest, page: Path, answer: dict[str, Any]) -> Comparison:
    return Comparison(page, {"view": view, "runs": request.ids, **answer, "page": str(page)})


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Convert rows to records with None for NaN, which JSON does not have."""
    records: list[dict[str, Any]] = rows.astype(object).where(rows.notna(), None).to_dict("records")  # type: ignore[assignment]
    return records
