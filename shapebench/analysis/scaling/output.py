"""The output of `scaling`, for people and for programs."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import TypedDict

from rich.console import Console
from rich.table import Table

from shapebench.analysis.scaling.curve import Curve, Impossible
from shapebench.analysis.scaling.growth import GROWING_SHARE
from shapebench.analysis.scaling.levels import Source, usable
from shapebench.analysis.scaling.saturation import Headroom, Saturation
from shapebench.analysis.scaling.usl import Estimate, Law
from shapebench.support.wording import users

SOURCES: dict[Source, str] = {
    "given": "as is given, or more if the curve is less steady",
    "repeated": "as repeated levels differ, or more if the curve is less steady",
    "assumed": "assumed, and adjusted to how steady the curve is",
}


def saturation_object(found: Saturation, curve: Curve) -> dict[str, object]:
    """Return what `scaling --json` prints."""
    return {
        "saturated": found.saturated,
        "knee": found.knee,
        "knee_interval": found.knee_interval,
        "collapses": found.collapses,
        "peak": asdict(found.peak) if found.peak else None,
        "headroom": _headroom_object(found.headroom) if found.headroom else None,
        "usl": _law_object(found.law) if found.law else None,
        "noise": {"share": float(found.levels.noise.mean()), "source": found.levels.source} if found.peak else None,
        "points": [*_points(found, curve)],
        "impossible_rows": [asdict(row) for row in curve.impossible],
        "sentences": [*sentences(found), *map(_describe_impossible, curve.impossible)],
    }


def _headroom_object(headroom: Headroom) -> dict[str, object]:
    return {
        "concurrency": headroom.concurrency,
        "up_to_concurrency": headroom.up_to,
        **_with_interval("tokens_per_s", headroom.tokens_per_s),
        **_with_interval("share", headroom.share),
    }


def _law_object(law: Law) -> dict[str, object]:
    names = ("lambda_tokens_per_s", "sigma", "kappa", "cap")
    estimates = [_with_interval(name, getattr(law, name)) for name in names]
    return {name: value for pair in estimates for name, value in pair.items()} | {
        "error": law.error,
        "describes": law.describes,
    }


def _with_interval(name: str, estimate: Estimate | None) -> dict[str, object]:
    interval = [estimate.low, estimate.high] if estimate else None
    return {name: estimate.value if estimate else None, f"{name}_interval": interval}


class Point(TypedDict):
    """A row of the curve, and the law's throughput there."""

    row: int
    concurrency: int
    system_tokens_per_s: float | None
    query_tokens_per_s: float | None
    ttft_s: float | None
    fitted_tokens_per_s: float | None


def _points(found: Saturation, curve: Curve) -> Iterator[Point]:
    """Yield the rows that were used, with the law's throughput at each."""
    rows = curve.rows.loc[usable(curve.rows).index]
    fitted = found.curve(rows["concurrency"].tolist())["tokens_per_s"].tolist() or [None] * len(rows)
    for row, by_law in zip(rows.to_dict("records"), fitted, strict=True):
        yield {
            "row": row["row"],
            "concurrency": int(row["concurrency"]),
            "system_tokens_per_s": _known(row["system_tokens_per_s"]),
            "query_tokens_per_s": _known(row["query_tokens_per_s"]),
            "ttft_s": _known(row["ttft_s"]),
            "fitted_tokens_per_s": by_law,
        }


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number


def print_saturation(found: Saturation, curve: Curve, console: Console) -> None:
    """Print the answer in sentences, then the rows that were used."""
    for sentence in (*sentences(found), *map(_describe_impossible, curve.impossible)):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("concurrency", "tokens/s", "by the law"):
        table.add_column(heading, justify="right")
    for point in _points(found, curve):
        fitted = point["fitted_tokens_per_s"]
        cells = (point["concurrency"], point["system_tokens_per_s"], fitted)
        table.add_row(*("" if cell is None else f"{cell:,.4g}" if cell < 1000 else f"{cell:,.0f}" for cell in cells))
    console.print(table)


def sentences(found: Saturation) -> Iterator[str]:
    """Say the answer, the reasons, and how certain it is."""
    yield from _growth(found)
    yield from _peak(found)
    if found.law:
        yield _law(found.law)
    if found.headroom:
        yield _headroom(found.headroom)
    if found.growth:
        noise = f"{found.levels.noise.mean():.1%}"
        yield f"Each level is taken to be off by {noise} (one standard deviation): {SOURCES[found.levels.source]}."


def _growth(found: Saturation) -> Iterator[str]:
    grown = found.growth
    if grown is None:
        count = {0: "no level", 1: "one level"}[len(found.levels)]
        yield f"Nothing is known of growth: there is {count}, two are needed at least, and five or six say much more."
    elif grown.knee is None:
        yield (
            f"Not saturated: with {users(found.greatest)}, the most that were measured, throughput still "
            f"grows by {grown.last_doubling:.0%} for twice the users."
        )
    else:
        low, high = found.knee_interval or (grown.knee, grown.knee)
        yield (
            f"Saturated: growth ends at {users(grown.knee)} (somewhere from {low} to {high}); beyond, twice "
            f"the users bring less than {GROWING_SHARE:.0%} more tokens/s."
        )
    if grown and grown.uncertain:
        yield "That is not sure: noise alone could have made it look so."


def _peak(found: Saturation) -> Iterator[str]:
    if not found.peak or not found.growth:
        return
    most = f"The most was {found.peak.system_tokens_per_s:,.4g} tokens/s, with {found.peak.concurrency}"
    if found.collapses:
        yield f"{most}; then throughput collapses: with {found.greatest} it is {found.growth.fall:.0%} lower."
    elif found.saturated:
        yield f"{most}; it does not collapse beyond."
    else:
        yield f"{most}."


def _law(law: Law) -> str:
    if not law.describes:
        return (
            f"The Universal Scalability Law does not describe these levels, it is off by {law.error:.0%}: what is "
            "said here is what they say themselves, and nothing is known of more users."
        )
    cap = f", and {law.cap.value:,.0f} streams at most that run at once" if law.cap else ""
    return (
        f"The Universal Scalability Law describes the levels to within {max(law.error, 0.001):.1%}: "
        f"{law.lambda_tokens_per_s.value:,.4g} tokens/s for one stream, contention (sigma) {law.sigma.value:.2g}, "
        f"crosstalk (kappa) {law.kappa.value:.2g}{cap}."
    )


def _headroom(headroom: Headroom) -> str:
    share = headroom.share
    reach = f"Up to {headroom.up_to}, twice as many as were measured, it expects"
    if share.value < 0.005:
        most = f" (at most {share.high:.0%} more)" if share.high >= 0.005 else ""
        return f"{reach} no more tokens/s than with fewer{most}."
    limits = "unless something else sets a limit first"
    return f"{reach} {share.value:.0%} more tokens/s ({share.low:.0%} to {share.high:.0%}), {limits}."


def _describe_impossible(row: Impossible) -> str:
    return f"Line {row.row} is left out, it cannot be true: {row.reason}."
