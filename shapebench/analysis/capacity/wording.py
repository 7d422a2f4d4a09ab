"""What a search finds, in words."""

from collections.abc import Iterator, Mapping
from typing import Any

from shapebench.analysis.capacity.search import Evidence, Found


def in_words(said: Evidence) -> str:
    """What one level says."""
    if not said.is_usable:
        return "says nothing, its numbers cannot be used"
    sure = "" if said.surely_keeps or said.surely_fails else ", as far as can be told"
    side = "kept" if said.keeps else "missed"
    return f"{said.slo} is {side} by {abs(said.margin):.0%}{sure}"


def answer(row: Mapping[Any, Any]) -> Iterator[str]:
    """Of a row of the view `searches`."""
    return sentences(Found.of(row), row["least"], row["most"])


def sentences(found: Found, least: int, most: int) -> Iterator[str]:
    """The answer, how sure it is, what limits it, and what is not known."""
    breaks = f" What more would break is {found.limited_by}." if found.limited_by and found.greatest else ""
    yield f"{_answer(found, least, most)}{_surely(found)}.{breaks}"
    if found.unusable:
        listed = ", ".join(f"{n:,}" for n in found.unusable)
        yield f"Nothing is known of {listed} streams: the numbers were invalid."


def _answer(found: Found, least: int, most: int) -> str:
    if found.greatest is None:
        return f"Not even {least:,} streams keep to all SLOs, and fewer were not looked at"
    if found.greatest == 0:
        return f"Not even one stream keeps to {found.limited_by or 'all SLOs'}"
    if found.greatest == most:
        return f"{most:,} streams keep to all SLOs, and more were not looked at"
    return f"{found.greatest:,} streams are the most that keep to all SLOs"


def _surely(found: Found) -> str:
    """The interval of an answer between two levels."""
    if not found.greatest or not found.surely_fails:
        return ""
    keeps = f"{found.surely_keeps:,} surely do" if found.surely_keeps else "no number surely does"
    return f": {keeps}, {found.surely_fails:,} surely do not (95% confidence)"
