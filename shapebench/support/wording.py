"""Lists, counts, money and quotations, as they read in sentences and in SQL."""

from collections.abc import Iterable


def listed(parts: Iterable[object], none: str = "") -> str:
    """Join parts as in "1, 2 and 8"; an empty list reads `none`."""
    texts = [str(part) for part in parts]
    if not texts:
        return none
    *others, last = texts
    return f"{', '.join(others)} and {last}" if others else last


def users(*concurrencies: int) -> str:
    """Name one or more levels, such as "1 concurrent user" or "8, 16 and 32 concurrent users"."""
    levels = listed(f"{concurrency:,}" for concurrency in concurrencies)
    return f"{levels} concurrent {'user' if levels == '1' else 'users'}"


def money(dollars: float | None, digits: int) -> str:
    """Show an amount in US dollars; an unknown one is a dash."""
    return "–" if dollars is None else f"${dollars:,.{digits}f}"  # noqa: RUF001 - a dash, typographically


def quoted(text: object) -> str:
    """Quote text as a string of SQL."""
    doubled = str(text).replace("'", "''")
    return f"'{doubled}'"
