"""Output of `scaling`, as text and as JSON."""

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
    "given": "as given, or more if the curve scatters more",
    "repeated": "from repeated levels, or more if the curve scatters more",
    "assumed": "assumed, and adjusted to the scatter of the curve",
}


def saturation_object(saturation: Saturation, curve: Curve) -> dict[str, object]:
    """Return what `scaling --json` prints."""
    return {
        "saturated": saturation.saturated,
        "knee": saturation.knee,
        "knee_interval": saturation.knee_interval,
        "collapses": saturation.collapses,
        "peak": asdict(saturation.peak) if saturation.peak else None,
        "headroom": _headroom_object(saturation.headroom) if saturation.headroom else None,
        "usl": _law_object(saturation.law) if saturation.law else None,
        "noise": {"share": float(saturation.levels.noise.mean()), "source": saturation.levels.source}
        if saturation.peak
        else None,
        "points": [*_points(saturation, curve)],
        "impossible_rows": [asdict(row) for row in curve.impossible],
        "sentences": [*sentences(saturation), *map(_describe_impossible, curve.impossible)],
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


def _points(saturation: Saturation, curve: Curve) -> Iterator[Point]:
    """Yield the rows that were used, with the law's throughput at each."""
    rows = curve.rows.loc[usable(curve.rows).index]
    fitted = saturation.curve(rows["concurrency"].tolist())["tokens_per_s"].tolist() or [None] * len(rows)
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


def print_saturation(saturation: Saturation, curve: Curve, console: Console) -> None:
    """Print the answer in sentences, then the rows that were used."""
    for sentence in (*sentences(saturation), *map(_describe_impossible, curve.impossible)):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("concurrency", "tokens/s", "by the law"):
        table.add_column(heading, justify="right")
    for point in _points(saturation, curve):
        fitted = point["fitted_tokens_per_s"]
        cells = (point["concurrency"], point["system_tokens_per_s"], fitted)
        table.add_row(*("" if cell is None else f"{cell:,.4g}" if cell < 1000 else f"{cell:,.0f}" for cell in cells))
    console.print(table)


def sentences(saturation: Saturation) -> Iterator[str]:
    """Describe the result, the reasons, and how certain it is."""
    yield from _growth(saturation)
    yield from _peak(saturation)
    if saturation.law:
        yield _law(saturation.law)
    if saturation.headroom:
        yield _headroom(saturation.headroom)
    if saturation.growth:
        noise = f"{saturation.levels.noise.mean():.1%}"
        yield f"Noise of each level: {noise} (one standard deviation), {SOURCES[saturation.levels.source]}."


def _growth(saturation: Saturation) -> Iterator[str]:
    grown = saturation.growth
    if grown is None:
        count = {0: "no level", 1: "one level"}[len(saturation.levels)]
        yield f"Growth is unknown: there is {count}. At least two are needed, better five or six."
    elif grown.knee is None:
        yield (
            f"Not saturated: with {users(saturation.greatest)}, the highest level measured, throughput still "
            f"grows by {grown.last_doubling:.0%} for twice the users."
        )
    else:
        low, high = saturation.knee_interval or (grown.knee, grown.knee)
        yield (
            f"Saturated: growth ends at {users(grown.knee)} (95% interval {low} to {high}); beyond, twice "
            f"the users bring less than {GROWING_SHARE:.0%} more tokens/s."
        )
    if grown and grown.uncertain:
        yield "This is uncertain: noise could explain it."


def _peak(saturation: Saturation) -> Iterator[str]:
    if not saturation.peak or not saturation.growth:
        return
    peak = f"Maximum: {saturation.peak.system_tokens_per_s:,.4g} tokens/s at concurrency {saturation.peak.concurrency}"
    if saturation.collapses:
        yield f"{peak}. Then throughput collapses: at {saturation.greatest} it is {saturation.growth.fall:.0%} lower."
    elif saturation.saturated:
        yield f"{peak}. It does not collapse beyond."
    else:
        yield f"{peak}."


def _law(law: Law) -> str:
    if not law.describes:
        return (
            f"The Universal Scalability Law does not fit these levels (error {law.error:.0%}): the statements above "
            "follow from the measured levels only, and no prediction for more users is possible."
        )
    cap = f", and {law.cap.value:,.0f} streams at most at the same time" if law.cap else ""
    return (
        f"The Universal Scalability Law fits the levels to within {max(law.error, 0.001):.1%}: "
        f"{law.lambda_tokens_per_s.value:,.4g} tokens/s for one stream, contention (sigma) {law.sigma.value:.2g}, "
        f"crosstalk (kappa) {law.kappa.value:.2g}{cap}."
    )


def _headroom(headroom: Headroom) -> str:
    share = headroom.share
    reach = f"Up to {headroom.up_to}, twice as many as were measured, it expects"
    if share.value < 0.005:
        more = f" (at most {share.high:.0%} more)" if share.high >= 0.005 else ""
        return f"{reach} no more tokens/s than with fewer{more}."
    limits = "unless something else sets a limit first"
    return f"{reach} {share.value:.0%} more tokens/s ({share.low:.0%} to {share.high:.0%}), {limits}."


def _describe_impossible(row: Impossible) -> str:
    return f"Line {row.row} is skipped as impossible: {row.reason}."
