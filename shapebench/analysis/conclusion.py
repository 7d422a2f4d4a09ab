"""The conclusion of a run in sentences: for how many concurrent users the machine meets the SLOs."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

import pandas as pd

from shapebench.analysis.early_stop import skipped, too_slow
from shapebench.analysis.scaling.growth import MIN_SLOPE
from shapebench.analysis.scaling.run_curve import level_curve
from shapebench.analysis.scaling.saturation import Headroom, Saturation, saturation
from shapebench.analysis.wording import percentile_withheld, quantities, slo_met, slo_missed
from shapebench.spec.model import Limits, Load
from shapebench.spec.slo import LevelResult, evaluate_levels
from shapebench.support.wording import listed, users


@dataclass(frozen=True)
class Conclusion:
    """The answer in one line, then the reasons and the caveats, as plain text."""

    headline: str
    sentences: tuple[str, ...]


def conclude(levels: pd.DataFrame, limits: Limits, verdict: str, load: Load | None = None) -> Conclusion:
    """Conclude from rows of `level_summary` for how many concurrent users the machine meets the SLOs.

    The answer is the highest level that meets all SLOs, as do all levels below it. If a percentile is withheld, the
    worst request is evaluated instead. Invalid levels, and levels that lack a number, are skipped. `load`
    says which levels were planned.
    """
    levels, results = levels.sort_values("concurrency"), evaluate_levels(levels, limits.slos)
    levels = levels.assign(known=[level.is_known for level in results])
    used = [level for level, is_used in zip(results, _used(levels), strict=True) if is_used]
    caveats = (*_caveats(levels, verdict), *_withheld(used), *_stopped(levels, load))
    if not used:
        return Conclusion("No answer: no level has usable numbers", caveats)
    suited = list(takewhile(lambda level: level.passes, used))
    reasons = [_best(suited), _break(used[len(suited) :]), _growth(levels)]
    return Conclusion(_headline(suited, used), (*filter(None, reasons), *caveats))


def _headline(suited: list[LevelResult], used: list[LevelResult]) -> str:
    if not suited:
        return f"Does not suit even {users(used[0].concurrency)}"
    best = suited[-1].concurrency
    if len(suited) == len(used):
        return f"Suits at least {users(best)}"
    return f"Suits {users(best)}, but not {used[len(suited)].concurrency:,}"


def _best(suited: list[LevelResult]) -> str:
    if not suited:
        return ""
    best = suited[-1]
    return f"With {users(best.concurrency)}, {listed(map(slo_met, best.results))}."


def _break(unsuited: list[LevelResult]) -> str:
    if not unsuited:
        return ""
    first = unsuited[0]
    return f"With {users(first.concurrency)}, {listed(map(slo_missed, first.missed))}."


def _growth(levels: pd.DataFrame) -> str:
    """Say whether throughput still grows: by all levels, or by the only step."""
    measured = level_curve(levels)
    if len(measured) < 2:
        return ""
    return _step(measured) if len(measured) == 2 else _saturation(saturation(measured))


def _step(measured: pd.DataFrame) -> str:
    """Say whether throughput grows from the first of two levels to the second, for each doubling of users."""
    (before, less), (last, more) = measured[["concurrency", "system_tokens_per_s"]].to_numpy().tolist()
    growth = more / less - 1
    changed = f"fell by {-growth:.0%}" if growth < 0 else f"grew by {growth:.0%}"
    grows = math.log(more / less, last / before) >= MIN_SLOPE - 1e-9
    meaning = "not saturated" if grows else "saturated"
    return f"From {int(before):,} to {users(int(last))}, system throughput {changed}: {meaning}."


def _saturation(found: Saturation) -> str:
    growth = found.growth
    assert growth
    uncertain = " (uncertain)" if growth.uncertain else ""
    if growth.knee is not None:
        low, high = growth.interval or (growth.knee, growth.knee)
        fall = f" With {found.greatest:,}, it is {growth.fall:.0%} lower than at its peak." if growth.collapses else ""
        ends = f"System throughput stops growing at {users(growth.knee)} (95% interval {low:,} to {high:,})"
        return f"{ends}: saturated{uncertain}.{fall}"
    grows = f"still grows, by {growth.last_doubling:.0%} for twice the users: not saturated{uncertain}"
    return f"With {users(found.greatest)}, system throughput {grows}.{_expected(found.headroom)}"


def _expected(headroom: Headroom | None) -> str:
    if headroom is None:
        return ""
    share = headroom.share
    return f" Up to {headroom.up_to:,}, {share.value:.0%} more is expected ({share.low:.0%} to {share.high:.0%})."


def _caveats(levels: pd.DataFrame, verdict: str) -> tuple[str, ...]:
    """List the caveats, each with its levels."""
    caveats = []
    for applies, sentence in _CAVEATS:
        concurrencies = levels.loc[applies(levels), "concurrency"].tolist()
        if concurrencies:
            caveats.append(sentence.format(f"With {users(*concurrencies)}"))
    if verdict not in {"valid", *levels["verdict"]}:
        caveats.append(f"The run as a whole is {verdict}.")
    return tuple(caveats)


def _withheld(used: Sequence[LevelResult]) -> Iterator[str]:
    """Say which percentiles are withheld, each with the levels that lack it."""
    levels: dict[str, list[int]] = {}
    for level in used:
        for result in level.results:
            if result.stat != result.slo.stat:
                levels.setdefault(percentile_withheld(result), []).append(level.concurrency)
    return (f"With {users(*concurrencies)}, {sentence}." for sentence, concurrencies in levels.items())


def _stopped(levels: pd.DataFrame, load: Load | None) -> Iterator[str]:
    """Say which levels were not measured, and why."""
    measured = [*zip(levels["concurrency"], levels["query_tokens_per_s_mean"].astype(float), strict=True)]
    if load and (slow := too_slow(load, measured)) and (left := skipped(load, measured)):
        got, bound = quantities("query_tokens_per_s", slow.query_tokens_per_s, load.stop_below_query_tokens_per_s or 0)
        yield (
            f"With {users(*left)}, nothing was measured: with {slow.concurrency:,}, each query got {got} on "
            f"average, below the stop limit of {bound}."
        )


def _is(verdict: str, levels: pd.DataFrame) -> "pd.Series[bool]":
    return levels["verdict"] == verdict


def _unmeasured(levels: pd.DataFrame) -> "pd.Series[bool]":
    return ~levels["known"].astype(bool) & (levels["verdict"] != "invalid")


def _used(levels: pd.DataFrame) -> "pd.Series[bool]":
    return levels["known"].astype(bool) & levels["verdict"].isin(["valid", "suspect"])


_CAVEATS: tuple[tuple[Callable[[pd.DataFrame], "pd.Series[bool]"], str], ...] = (
    (partial(_is, "invalid"), "{}, the numbers are invalid and were not used."),
    (partial(_is, "suspect"), "{}, the numbers are suspect."),
    (_unmeasured, "{}, there are no numbers to evaluate."),
    (
        lambda levels: _used(levels) & (levels["failed"].astype(float) > 0),
        "{}, some requests failed; the numbers cover only the others.",
    ),
    (
        lambda levels: _used(levels) & (levels["timestamps"] == "user"),
        "{}, the client's own clock readings were used, not the kernel's: times may read long.",
    ),
)
