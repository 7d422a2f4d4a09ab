"""The ranking in a few columns, for a terminal and for the Prefect UI; the page has more."""

from collections.abc import Mapping
from typing import Any

from shapebench.support.wording import money

# What stands in each column, and with how many digits of a dollar; None: it is no money.
COLUMNS: dict[str, tuple[str, int | None]] = {
    "users": ("greatest", None),
    "tok/s": ("system_tokens_per_s", None),
    "an hour": ("price_per_hour", 2),
    "million\noutput tokens": ("per_million_output_tokens", 3),
    "a user\nfor an hour": ("per_user_hour", 4),
    "machines": ("instances", None),
    "all of them,\nan hour": ("fleet_per_hour", 2),
}


def cells(rank: Mapping[str, Any]) -> list[str]:
    """Of one machine, as `Entry.as_object` has it, in the order of COLUMNS."""
    return [_number(rank[name], digits) for name, digits in COLUMNS.values()]


def _number(value: float | None, digits: int | None) -> str:
    if value is None or digits is not None:
        return money(value, digits or 0)
    return f"{value:,.0f}"
