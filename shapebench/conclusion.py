"""What the numbers say, in words: how many people at once the measured machine suits."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any

import pandas as pd

from shapebench.spec import Limits

# Throughput "still grows" over a step if it gains at least this share of what the concurrency gains: from 16 to 32
# users (+100%), at least 10%. Below it the machine is called saturated.
GROWING_SHARE = 0.1

_NUMBERS = ["query_tokens_per_s_mean", "slow_ttft_s"]


@dataclass(frozen=True)
class Conclusion:
    """The answer in one line, then its grounds and its caveats, as plain text."""

    headline: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class _Level:
    """What is judged of one level that may be used."""

    concurrency: int
    query_tokens_per_s: float
    slow_ttft_s: float  # the 95th percentile, or the longest where too few requests completed for that
    system_tokens_per_s: float  # may be NaN
    has_p95: bool

    def keeps_pace(self, limits: Limits) -> bool:
        return self.query_tokens_per_s >= limits.query_tokens_per_s

    def starts_soon(self, limits: Limits) -> bool:
        return self.slow_ttft_s <= limits.ttft_s

    def suits(self, limits: Limits) -> bool:
        return self.keeps_pace(limits) and self.starts_soon(limits)


def conclude(levels: pd.DataFrame, limits: Limits, verdict: str) -> Conclusion:
    """Does this machine suit this many users? Answered from rows of `level_summary`.

    The answer is the greatest concurrency at which both limits hold, at it and at every lower level that may be used:
    each query gets enough tokens/s on average, and 95% of first tokens come in time (all of them, where the 95th
    percentile is withheld). Invalid levels, and levels that lack either number, take no part in it.
    """
    levels = _judged(levels.sort_values("concurrency"))
    usable = _usable(levels)
    if not usable:
        return Conclusion("No answer: no level gave numbers that can be used", _caveats(levels, verdict))
    suited = list(takewhile(lambda level: level.suits(limits), usable))
    grounds = [_best(suited, limits), _break(usable[len(suited) :], limits), _growth(usable)]
    return Conclusion(_headline(suited, usable), (*filter(None, grounds), *_caveats(levels, verdict)))


def _judged(levels: pd.DataFrame) -> pd.DataFrame:
    """With what the limit of TTFT is held against."""
    p95, longest = (levels.reindex(columns=[name])[name].astype(float) for name in ("ttft_s_p95", "ttft_s_max"))
    return levels.assign(has_p95=p95.notna(), slow_ttft_s=p95.fillna(longest))


def _usable(levels: pd.DataFrame) -> list[_Level]:
    rows = levels[levels["verdict"].isin(["valid", "suspect"])].dropna(subset=_NUMBERS)
    return [_level(row) for row in rows.to_dict("records")]


def _level(row: dict[Hashable, Any]) -> _Level:
    return _Level(
        concurrency=int(row["concurrency"]),
        query_tokens_per_s=float(row["query_tokens_per_s_mean"]),
        slow_ttft_s=float(row["slow_ttft_s"]),
        system_tokens_per_s=float(row["system_tokens_per_s"]),
        has_p95=bool(row["has_p95"]),
    )


def _headline(suited: list[_Level], usable: list[_Level]) -> str:
    if not suited:
        return f"Does not suit even {_users(usable[0].concurrency)}"
    best = suited[-1].concurrency
    if len(suited) == len(usable):
        return f"Suits at least {_users(best)}"
    return f"Suits {_users(best)}, but not {usable[len(suited)].concurrency}"


def _best(suited: list[_Level], limits: Limits) -> str:
    if not suited:
        return ""
    best = suited[-1]
    speed, least = _apart(best.query_tokens_per_s, limits.query_tokens_per_s)
    wait, most = _apart(best.slow_ttft_s * 1000, limits.ttft_s * 1000)
    share = "95% of" if best.has_p95 else "all"
    return (
        f"With {_users(best.concurrency)}, each query gets {speed} tokens/s on average (at least {least} are wanted), "
        f"and {share} first tokens come within {wait} ms (at most {most} ms is wanted)."
    )


def _break(unsuited: list[_Level], limits: Limits) -> str:
    if not unsuited:
        return ""
    first = unsuited[0]
    speed, least = _apart(first.query_tokens_per_s, limits.query_tokens_per_s)
    wait, most = _apart(first.slow_ttft_s * 1000, limits.ttft_s * 1000)
    slow = f"each query gets {speed} tokens/s on average, less than {least}"
    which = "95th percentile of the" if first.has_p95 else "longest"
    late = f"the {which} time to first token is {wait} ms, more than {most} ms"
    broken = [text for holds, text in ((first.keeps_pace, slow), (first.starts_soon, late)) if not holds(limits)]
    return f"With {_users(first.concurrency)}, {' and '.join(broken)}."


def _growth(usable: list[_Level]) -> str:
    """How throughput changed over the last step; see GROWING_SHARE for the rule."""
    measured = [level for level in usable if level.system_tokens_per_s > 0]
    if len(measured) < 2:
        return ""
    before, last = measured[-2:]
    growth = last.system_tokens_per_s / before.system_tokens_per_s - 1
    share = growth / (last.concurrency / before.concurrency - 1)
    changed = f"fell by {-growth:.0%}" if growth < 0 else f"grew by {growth:.0%}"
    meaning = "not saturated" if share >= GROWING_SHARE else "saturated"
    return f"From {before.concurrency} to {_users(last.concurrency)}, system throughput {changed}: {meaning}."


def _caveats(levels: pd.DataFrame, verdict: str) -> tuple[str, ...]:
    """What to keep in mind, each with the levels that it is true of."""
    cases = [(levels.loc[applies(levels), "concurrency"].tolist(), sentence) for applies, sentence in _CAVEATS]
    named = [sentence.format(f"With {_users(*concurrencies)}") for concurrencies, sentence in cases if concurrencies]
    unexplained = [] if verdict in {"valid", *levels["verdict"]} else [f"The run as a whole is {verdict}."]
    return (*named, *unexplained)


def _is(verdict: str, levels: pd.DataFrame) -> "pd.Series[bool]":
    return levels["verdict"] == verdict


def _unmeasured(levels: pd.DataFrame) -> "pd.Series[bool]":
    return levels[_NUMBERS].isna().any(axis="columns") & (levels["verdict"] != "invalid")


def _used(levels: pd.DataFrame) -> "pd.Series[bool]":
    return ~_unmeasured(levels) & (levels["verdict"] != "invalid")


_CAVEATS: tuple[tuple[Callable[[pd.DataFrame], "pd.Series[bool]"], str], ...] = (
    (partial(_is, "invalid"), "{}, the numbers are invalid and take no part in this answer."),
    (partial(_is, "suspect"), "{}, the numbers are suspect."),
    (_unmeasured, "{}, there are no numbers to judge."),
    (
        lambda levels: _used(levels) & (levels["failed"].astype(float) > 0),
        "{}, some requests failed; the numbers speak of the others.",
    ),
    (
        lambda levels: _used(levels) & ~levels["has_p95"],
        "{}, too few requests completed for a 95th percentile: all first tokens had to come in time.",
    ),
    (
        lambda levels: _used(levels) & (levels["timestamps"] == "user"),
        "{}, the client's own clock readings were used, not the kernel's: times may read long.",
    ),
)


def _users(*concurrencies: int) -> str:
    *others, last = map(str, concurrencies)
    listed = f"{', '.join(others)} and {last}" if others else last
    return f"{listed} concurrent {'user' if listed == '1' else 'users'}"


def _apart(value: float, limit: float) -> tuple[str, str]:
    """Both numbers to three significant digits, or to as many as it takes for different numbers to read differently."""
    pairs = ((_rounded(value, digits), _rounded(limit, digits)) for digits in range(3, 17))
    return next((pair for pair in pairs if value == limit or pair[0] != pair[1]), (repr(value), repr(limit)))


def _rounded(value: float, digits: int) -> str:
    return f"{float(f'{value:.{digits}g}'):,.15g}"
