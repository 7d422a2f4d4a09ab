"""Two runs of one endpoint: what changed, by how much, and whether that is more than noise."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

from shapebench.spec.metric_definitions import BETTER, HIGHER
from shapebench.support.redact import redact, redact_mapping
from shapebench.support.wording import users

MIN_EFFECT = 0.05  # a smaller change, as a share of what it was before, is none
_ERROR = 0.05  # of finding a change where there is none, for all numbers of a comparison together
_NAMES = {"ttft_s": "the mean time to first token", "steady_tokens_per_s": "throughput"}
_PARTS = ("spec", "facts", "versions", "machine")
# What differs between any two runs, and says nothing of either.
_INCIDENTAL = {
    *("spec.data", "spec.workload.seed", "facts.probe_e2e_s", "facts.fingerprint"),
    *(f"facts.server_profile.{name}" for name in ("notes", "tokens_per_chunk", "rate_limit_waited_s")),
}


@dataclass(frozen=True)
class Changes:
    """The answer in one line and the reasons; `tested` are rows of compare_runs, as shares of the value before."""

    headline: str
    sentences: tuple[str, ...]
    tested: pd.DataFrame


def changes(differences: pd.DataFrame) -> Changes:
    """Find what changed from one run to the other, by the rows of the macro compare_runs(before, after).

    The macro's intervals are of single numbers. Here they are tested together, so each is widened (Bonferroni): where
    nothing changed, all of them say so in 95 of 100 comparisons.
    """
    tested = _test_together(differences)
    verdicts = set(tested["verdict"])
    sentences = tuple(_sentence(str(metric), rows) for metric, rows in tested.groupby("metric", sort=False))
    return Changes(_headline(verdicts), sentences or (_NOTHING_TESTED,), tested)


_NOTHING_TESTED = "No level has an interval in both runs: that takes a level of some ten seconds that is not invalid."


def _test_together(differences: pd.DataFrame) -> pd.DataFrame:
    rows = differences.dropna(subset=["difference_low", "difference_high"])
    rows = rows[(rows["before_verdict"] != "invalid") & (rows["after_verdict"] != "invalid") & (rows["before"] > 0)]
    widened = NormalDist().inv_cdf(1 - _ERROR / 2 / max(len(rows), 1)) / NormalDist().inv_cdf(1 - _ERROR / 2)
    change = rows["difference"] / rows["before"]
    half = (rows["difference_high"] - rows["difference_low"]) / 2 / rows["before"] * widened
    low, high = change - half, change + half
    largest = np.maximum(-low, high)
    improves = (change > 0) == (rows["metric"].map(BETTER) == HIGHER)
    verdict = np.select(
        [largest <= MIN_EFFECT, (low <= 0) & (high >= 0), improves], ["same", "inconclusive", "better"], "worse"
    )
    return rows.assign(change=change, change_low=low, change_high=high, verdict=verdict)


def _headline(verdicts: set[str]) -> str:
    found = verdicts & {"better", "worse"}
    if found == {"better", "worse"}:
        return "Some numbers are better, others worse"
    if found:
        return f"It is {found.pop()}"
    if verdicts == {"same"}:
        return f"Nothing changed by more than {MIN_EFFECT:.0%}"
    return "No change was detected" if verdicts else "It is unknown whether anything changed"


def _sentence(metric: str, rows: pd.DataFrame) -> str:
    """Say the greatest certain change of a metric, or else how large a change may be."""
    name = _NAMES.get(metric, metric).capitalize()
    changed = rows[rows["verdict"].isin(["better", "worse"])]
    if changed.empty:
        largest = np.maximum(-rows["change_low"], rows["change_high"])
        level = rows["concurrency"].iloc[int(largest.argmax())]
        return f"{name} changed by no more than {largest.max():.0%}, which is with {users(level)}."
    row = changed.iloc[int(changed["change"].abs().argmax())]
    direction = "rose" if row["change"] > 0 else "fell"
    low, high = sorted((abs(row["change_low"]), abs(row["change_high"])))
    return (
        f"{name} {direction} by {abs(row['change']):.0%} ({low:.0%} to {high:.0%}) with {users(row['concurrency'])}; "
        f"at {len(changed)} of {len(rows)} levels the change is more than noise."
    )


def settings_that_differ(before: Mapping[str, object], after: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """List the settings, facts and versions that differ: a name with dots, and its value in each run."""
    earlier, later = (dict(_flat("", {part: run[part] for part in _PARTS})) for run in (before, after))
    names = [name for name in {**earlier, **later} if name not in _INCIDENTAL]
    pairs = [(name, earlier.get(name, ""), later.get(name, "")) for name in names]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _flat(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(f"{name}.{key}".lstrip("."), item)
    elif value is not None:
        yield name, redact(value) if isinstance(value, str) else json.dumps(redact_mapping(value))
