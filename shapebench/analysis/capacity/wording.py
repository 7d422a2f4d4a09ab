"""The result of a capacity search in sentences."""

from collections.abc import Iterator

from shapebench.analysis.capacity.search import Outcome, SearchColumns, SearchResult
from shapebench.analysis.wording import slo_label
from shapebench.spec.slo import parse
from shapebench.support.wording import users


def describe_outcome(outcome: Outcome) -> str:
    """Say by how much a level meets or misses the SLO that it is nearest to."""
    if not outcome.is_usable:
        return "the numbers cannot be used"
    verb = "meets" if outcome.passes else "misses"
    uncertain = ", but its 95% interval includes the bound" if outcome.is_uncertain else ""
    return f"{verb} {slo_label(parse(outcome.slo))} by {abs(outcome.margin):.0%}{uncertain}"


def row_sentences(row: SearchColumns) -> Iterator[str]:
    """Say the result of a search, from its row in the view `searches`."""
    return sentences(SearchResult.from_row(row), row["min_level"], row["max_level"])


def sentences(result: SearchResult, min_level: int, max_level: int) -> Iterator[str]:
    """Say the result and its interval, the limiting SLO, and which levels gave no usable numbers."""
    yield f"{_answer(result, min_level, max_level)}{_confidence(result)}."
    if result.limited_by and result.greatest:
        yield f"Limiting SLO: {slo_label(parse(result.limited_by))}."
    if result.unusable:
        yield f"The numbers with {users(*result.unusable)} were invalid and were not used."


def _answer(result: SearchResult, min_level: int, max_level: int) -> str:
    if result.greatest is None:
        return f"{users(min_level)} already miss an SLO; fewer were not measured"
    if result.greatest == 0:
        return f"{users(1)} already misses {slo_label(parse(result.limited_by)) if result.limited_by else 'an SLO'}"
    if result.greatest == max_level:
        return f"All SLOs are met with {users(max_level)}; more were not measured"
    return f"All SLOs are met with up to {users(result.greatest)}"


def _confidence(result: SearchResult) -> str:
    if not result.greatest or not result.confident_fail:
        return ""
    met = f"met with {result.confident_pass:,}, " if result.confident_pass else ""
    return f" (95% confidence: {met}missed with {result.confident_fail:,})"
