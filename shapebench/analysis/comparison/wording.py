"""A ranking in sentences: which machine, why that one, and how certain that is."""

from collections.abc import Iterator, Mapping

from shapebench.analysis.comparison.ranking import Entry, Ranking
from shapebench.analysis.wording import slo_label
from shapebench.spec.slo import parse
from shapebench.support.wording import listed, money, users

Names = Mapping[str, str]  # of runs, by their ids


def headline(ranking: Ranking, names: Names) -> str:
    """Say in one line which machine is best."""
    best = ranking.best
    if best is None:
        return "No machine meets the SLOs, even at the lowest level that was measured"
    name, costs = names[best.run_id], best.costs
    if costs.price is None:
        return f"{name} sustains the most users: {best.greatest:,}"
    cheapest = f"{name} is the cheapest that meets the SLOs"
    if ranking.users:
        return f"{cheapest}: {costs.instances:,} for {ranking.users:,} users, {money(costs.fleet_per_hour, 2)} per hour"
    return f"{cheapest}: {money(costs.per_user_hour, 4)} per user-hour"


def sentences(ranking: Ranking, names: Names) -> tuple[str, ...]:
    """Say why the best is the best, then what each machine sustains and costs."""
    return (*_why(ranking, names), *(_describe(entry, names[entry.run_id]) for entry in ranking.entries))


def _why(ranking: Ranking, names: Names) -> Iterator[str]:
    priced = [(entry.run_id, entry.costs.price) for entry in ranking.entries if entry.costs.price]
    if ranking.best is None or len(priced) < 2:
        return
    (_, first), (second_id, second) = priced[:2]
    more = second / first - 1
    price = f"{money(second, 2)} per hour" if ranking.users else f"{money(second, 4)} per user-hour"
    yield f"The next is {names[second_id]}, {price}: {f'{more:.0%} more' if more >= 0.005 else 'the same'}."
    if ranking.rivals:
        rivals = listed(names[entry.run_id] for entry in ranking.rivals)
        yield (
            f"The order is uncertain: the limits lie somewhere between measured levels, and {rivals} may be as cheap. "
            "Measure more levels near the limits, or run a capacity search for each machine."
        )
    else:
        all_priced = all(entry.costs.price_per_hour is not None for entry in ranking.entries)
        other = "No other machine" if all_priced else "No other machine of known price"
        yield f"{other} is as cheap, wherever the limits lie between the measured levels."


def _describe(entry: Entry, name: str) -> str:
    missed = f"{slo_label(parse(entry.limited_by))} is missed" if entry.limited_by else "an SLO is missed"
    if not entry.greatest:
        return f"{name}: {missed} even at the lowest level that was measured."
    if entry.failing is None:
        limit = "no higher level was measured"
    else:
        limit = f"with {entry.failing:,}, {missed if entry.limited_by else 'the numbers cannot be used'}"
    sustains = f"{name} sustains {users(entry.greatest)}; {limit}."
    if entry.costs.per_user_hour is None:
        return f"{sustains} Its price is not known."
    costs = f"{sustains} Cost per user-hour: {_cost(entry, 'per_user_hour', 4)}."
    if not entry.costs.instances:
        return costs
    return f"{costs} Fleet of {entry.costs.instances:,}: {_cost(entry, 'fleet_per_hour', 2)} per hour."


def _cost(entry: Entry, name: str, digits: int) -> str:
    """Show a cost, with its interval where the machine's limit is not known exactly."""
    value, (low, high) = getattr(entry.costs, name), entry.ends(name)
    shown = money(value, digits)
    if low is None and high is None:
        return shown
    if low is None:
        return f"{shown} (or less)" if high == value else f"{shown} (at most {money(high, digits)})"
    if high is None:
        return f"{shown} (at least {money(low, digits)})"
    return shown if low == high else f"{shown} ({money(low, digits)} to {money(high, digits)})"
