"""From the results file to a page on which runs stand side by side."""

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
from shapebench.results import database as warehouse
from shapebench.results import views
from shapebench.results.regression import watched
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
class Asked:
    """Which runs, and what of them; `prices` are of an hour of a shape, else by list; `users` are to have room."""

    data: Path
    runs: list[RunRow]
    prices: Mapping[str, float] = field(default_factory=dict)
    users: int | None = None

    @property
    def ids(self) -> list[str]:
        return [run["run_id"] for run in self.runs]

    def folder(self, view: str) -> Path:
        """The same for the same runs."""
        mark = hashlib.sha256(" ".join(self.ids).encode()).hexdigest()[:8]
        return self.data / "comparisons" / f"{view}-{self.ids[-1]}-{mark}"


@dataclass(frozen=True)
class Compared:
    """The page, and its answer as plain values."""

    page: Path
    answer: dict[str, Any]


def compare(asked: Asked, view: str | None = None) -> Compared:
    """Write the page for these runs: `changes`, `shapes` or `history`, by what they are unless one is named."""
    name = view or _fitting(asked.runs)
    return VIEWS[name](asked)


def chosen(data: Path, names: Sequence[str]) -> list[RunRow]:
    """The runs of these ids, or beginnings of ids, in that order; raises RunNotFoundError with all that are wrong."""
    known = [row["run_id"] for row in warehouse.query(data, "SELECT run_id FROM runs").to_pylist()]
    matching = {name: [run_id for run_id in known if run_id == name] or _beginning(known, name) for name in names}
    if wrong := [_wrong(name, matches) for name, matches in matching.items() if len(matches) != 1]:
        raise RunNotFoundError(
            "\n".join(wrong), "`shapebench runs` lists the runs; enough of an id to tell it will do."
        )
    return [views.read_run(data, matches[0]) for matches in matching.values()]


def _beginning(known: list[str], name: str) -> list[str]:
    return [run_id for run_id in known if name and run_id.startswith(name)]


def _wrong(name: str, matches: list[str]) -> str:
    return (
        f"{len(matches)} runs begin with {name}: {', '.join(matches[-4:])}." if matches else f"There is no run {name}."
    )


def _fitting(runs: list[RunRow]) -> str:
    """What one asks of such runs: of one its endpoint's past, of two on one shape what changed, else which is best."""
    if len(runs) == 1:
        return "history"
    return "changes" if len(runs) == 2 and len({(run["model"], run["shape"]) for run in runs}) == 1 else "shapes"


def _changes(asked: Asked) -> Compared:
    from shapebench.report.pages import changes as page

    if len(asked.runs) != 2:
        raise CompareError(f"What changed is asked of two runs, not {len(asked.runs)}.", "Name two, or another --view.")
    differences = _frame(asked, "FROM compare_runs(?, ?)", asked.ids)
    found = changes(differences)
    written = page.write(page.ChangesPage(asked.runs, _levels(asked), differences, found), asked.folder("changes"))
    answer = {"headline": found.headline, "sentences": found.sentences, "judged": _plain(found.tested)}
    return _compared("changes", asked, written, {**answer, "differences": _plain(differences)})


def _shapes(asked: Asked) -> Compared:
    from shapebench.analysis.comparison.labels import labels
    from shapebench.report.pages import ranking as page

    limits = Limits.model_validate(asked.runs[0]["spec"].get("limits", {}))
    levels = _levels(asked)
    found = ranking(levels, _outcomes(asked, levels, limits), _prices(asked), asked.users)
    written = page.write(page.RankingPage(asked.runs, levels, limits, found), asked.folder("shapes"))
    named = labels(asked.runs)
    words = {"headline": headline(found, named), "sentences": sentences(found, named)}
    slos = [str(slo) for slo in limits.slos]
    return _compared(
        "shapes", asked, written, {**words, "slos": slos, "ranking": [entry.as_object() for entry in found.entries]}
    )


def _outcomes(asked: Asked, levels: pd.DataFrame, limits: Limits) -> dict[str, list[Outcome]]:
    """Evaluate the limits on all levels, by run, with the intervals that a run has of the same numbers."""
    intervals: dict[tuple[str, int], dict[tuple[str, str], tuple[float, float]]] = defaultdict(dict)
    for row in views.read_slos(asked.data, asked.ids):
        if row["low"] is not None and row["high"] is not None:
            intervals[row["run_id"], row["concurrency"]][row["metric"], row["stat"]] = row["low"], row["high"]
    outcomes: dict[str, list[Outcome]] = {run_id: [] for run_id in asked.ids}
    for level in levels.to_dict("records"):
        run_id, concurrency = level["run_id"], level["concurrency"]
        result = evaluate(level, limits.slos, intervals[run_id, concurrency])
        outcomes[run_id].append(Outcome.of_level(result, level["verdict"]))
    return outcomes


def _prices(asked: Asked) -> dict[str, float]:
    """Those that were given, else by list."""
    listed = {run["shape"]: list_price_per_hour(run["shape"]) for run in asked.runs}
    return {**{shape: price for shape, price in listed.items() if price is not None}, **asked.prices}


def _history(asked: Asked) -> Compared:
    from shapebench.report.pages import history as page

    past = read_history(asked.data, asked.runs[-1])
    written = page.write(past, asked.folder("history"))
    return _compared("history", asked, written, asdict(past.newest_check))


def read_history(data: Path, run: RunRow) -> "HistoryPage":
    """All runs of a run's endpoint, oldest first, and how each compares to those before it."""
    from shapebench.report.pages.history import HistoryPage

    past = Asked(data, views.read_endpoint_runs(data, run))
    judgements = {run_id: watched(data, run_id, Rule()).judgement for run_id in past.ids}
    return HistoryPage(past.runs, _levels(past), judgements)


VIEWS: dict[str, Callable[[Asked], Compared]] = {"changes": _changes, "shapes": _shapes, "history": _history}


def _levels(asked: Asked) -> pd.DataFrame:
    return views.read_level_summaries(asked.data, asked.ids)


def _frame(asked: Asked, sql: str, parameters: list[Any]) -> pd.DataFrame:
    frame: pd.DataFrame = warehouse.query(asked.data, sql, parameters).to_pandas()
    return frame


def _compared(view: str, asked: Asked, page: Path, answer: dict[str, Any]) -> Compared:
    return Compared(page, {"view": view, "runs": asked.ids, **answer, "page": str(page)})


def _plain(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Without NaN, which JSON does not have."""
    records: list[dict[str, Any]] = rows.astype(object).where(rows.notna(), None).to_dict("records")  # type: ignore[assignment]
    return records
