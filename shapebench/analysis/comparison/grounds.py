"""A ranking in words: which machine, why that one, and how sure that is."""

from collections.abc import Iterator, Mapping

from shapebench.analysis.comparison.ranking import Entry, Ranking
from shapebench.support.wording import listed, money

Names = Mapping[str, str]  # of runs, by their ids


def headline(ranking: Ranking, named: Names) -> str:
    best = ranking.best
    if best is None:
        return "None of them suits even the lowest level that was measured"
    name, costs = named[best.run_id], best.costs
    if costs.price is None:
        return f"{name} suits most users: {best.greatest:,}"
    cheapest = f"{name} is the cheapest that suits"
    if ranking.users:
        return f"{cheapest}: {costs.instances:,} for {ranking.users:,} users, {money(costs.fleet_per_hour, 2)} an hour"
    return f"{cheapest}: {money(costs.per_user_hour, 4)} for a user and hour"


def sentences(ranking: Ranking, named: Names) -> tuple[str, ...]:
    """Why the best is the best, then the grounds, by run, as plain text."""
    return (*_why(ranking, named), *(_of(entry, named[entry.run_id]) for entry in ranking.entries))


def _why(ranking: Ranking, named: Names) -> Iterator[str]:
    priced = [entry for entry in ranking.entries if entry.costs.price]
    if ranking.best is None or len(priced) < 2:
        return
    first, second = (entry.costs for entry in priced[:2])
    assert first.price
    assert second.price
    more = second.price / first.price - 1
    what = f"{money(second.price, 2)} an hour" if ranking.users else f"{money(second.price, 4)} for a user and hour"
    yield f"The next is {named[priced[1].run_id]}, {what}: {f'{more:.0%} more' if more >= 0.005 else 'the same'}."
    yield _how_sure(ranking, named)


def _how_sure(ranking: Ranking, named: Names) -> str:
    if not ranking.rivals:
        priced = all(entry.costs.price_per_hour is not None for entry in ranking.entries)
        other = "No other" if priced else "No other of known price"
        return f"{other} is as cheap, wherever between its levels each machine's limit lies."
    rivals = listed(named[entry.run_id] for entry in ranking.rivals)
    return (
        f"That is not sure: where each machine's limit lies between its levels is not known, and {rivals} may be as "
        "cheap. More levels near the limits, or a capacity search of each, would tell."
    )


def _of(entry: Entry, name: str) -> str:
    if not entry.greatest:
        why = f": {entry.limited_by} is missed" if entry.limited_by else ""
        return f"{name} does not suit, even at the lowest level that was measured{why}."
    suits = f"{name} suits {entry.greatest:,} users at once{_upward(entry)}"
    if entry.costs.per_user_hour is None:
        return f"{suits}; its price is not known."
    return f"{suits}; a user costs {_with_ends(entry, 'per_user_hour', 4)} an hour{_fleet(entry)}."


def _upward(entry: Entry) -> str:
    if entry.refused is None:
        return ", and perhaps more: no higher level was measured"
    limit = f": {entry.limited_by} is missed" if entry.limited_by else ""
    return f", but not {entry.refused:,}{limit}"


def _fleet(entry: Entry) -> str:
    if not entry.costs.instances:
        return ""
    them = "one of them costs" if entry.costs.instances == 1 else f"{entry.costs.instances:,} of them cost"
    return f"; {them} {_with_ends(entry, 'fleet_per_hour', 2)} an hour"


def _with_ends(entry: Entry, name: str, digits: int) -> str:
    """A cost, and from where to where it may be, for all that is known of the machine's limit."""
    value, (least, most) = money(getattr(entry.costs, name), digits), entry.ends(name)
    if least is None and most is None:
        return value
    if least is None:
        return (
            f"{value} (or less)" if most == getattr(entry.costs, name) else f"{value} (at most {money(most, digits)})"
        )
    if most is None:
        return f"{value} (at least {money(least, digits)})"
    return value if least == most else f"{value} ({money(least, digits)} to {money(most, digits)})"
