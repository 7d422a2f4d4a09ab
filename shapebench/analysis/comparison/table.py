"""The ranking in a few columns, for a terminal and for the Prefect UI; the page has more."""

from collections.abc import Mapping

from shapebench.support.wording import money

# The key and the digits of a dollar of each column; None: it is no amount of money.
COLUMNS: dict[str, tuple[str, int | None]] = {
    "users": ("greatest", None),
    "tok/s": ("system_tokens_per_s", None),
    "price\nper hour": ("price_per_hour", 2),
    "cost per 1M\noutput tokens": ("per_million_output_tokens", 3),
    "cost per\nuser-hour": ("per_user_hour", 4),
    "machines": ("instances", None),
    "fleet cost\nper hour": ("fleet_per_hour", 2),
}


def cells(rank: Mapping[str, object]) -> list[str]:
    """Return the cells of one machine, in the order of COLUMNS; `rank` is from `Entry.as_object`."""
    return [_number(rank[name], digits) for name, digits in COLUMNS.values()]


def _number(value: object, digits: int | None) -> str:
    number = value if isinstance(value, int | float) else None
    if number is None or digits is not None:
        return money(number, digits or 0)
    return f"{number:,.0f}"
