"""The content of a run's page, as rows of the results file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import pandas as pd

from shapebench.analysis.capacity.wording import row_sentences
from shapebench.analysis.conclusion import Conclusion, conclude
from shapebench.report.charts.fitted import Fit, fitted
from shapebench.results.views import RunRow, SearchRow
from shapebench.spec.model import Limits, Load


def _without(*columns: str) -> Callable[[], pd.DataFrame]:
    """Return a factory of frames with these columns and no rows."""
    return partial(pd.DataFrame, columns=[*columns])


@dataclass(frozen=True)
class Detail:
    """Everything about a run beyond its levels' summaries; a frame has no rows where nothing was stored."""

    scaling: pd.DataFrame = field(default_factory=_without("concurrency", "tokens_per_s"))
    requests: pd.DataFrame = field(
        default_factory=_without("concurrency", "ttft_s", "e2e_s", "tpot_s")
    )  # that completed
    intervals: pd.DataFrame = field(default_factory=_without("concurrency", "metric", "stat", "low_s", "high_s"))
    timeline: pd.DataFrame = field(default_factory=_without("concurrency", "at_s"))
    server_timeline: pd.DataFrame = field(default_factory=_without("concurrency", "at_s"))
    errors: pd.DataFrame = field(default_factory=_without("concurrency", "kind", "requests", "message"))
    client: pd.DataFrame = field(default_factory=_without("concurrency", "timestamps"))
    servers: Sequence[str] = ()  # addresses that answered
    searches: Sequence[SearchRow] = ()  # the result of a capacity search: one row, or none


@dataclass(frozen=True)
class Report:
    """A run as its page shows it: its row of `runs`, its rows of `level_summary` and `findings`, and the details."""

    run: RunRow
    levels: pd.DataFrame
    findings: pd.DataFrame
    data_docs: str | None = None  # where Great Expectations' own pages are, from this one
    detail: Detail = Detail()

    @property
    def title(self) -> str:
        return f"{self.run['model']} on {self.run['shape']}"

    @property
    def limits(self) -> Limits:
        return Limits.model_validate(self.run["spec"].get("limits", {}))

    @cached_property
    def fit(self) -> Fit | None:
        return fitted(self.detail.scaling, self.levels)

    @cached_property
    def conclusion(self) -> Conclusion:
        load = Load.model_validate(self.run["spec"].get("load", {}))
        found = conclude(self.levels, self.limits, self.run["verdict"], load)
        searched = (sentence for row in self.detail.searches for sentence in row_sentences(row))
        return replace(found, sentences=(*searched, *found.sentences))
