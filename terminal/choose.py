"""Choosing among machines, from a terminal."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shapebench.choice import Choice
from shapebench.comparison.grounds import money
from terminal.run import log_to, starting


def run(choice: Choice, console: Console, *, verbose: bool = False) -> Any:
    """Run the flow here, with a line on `console` for what each endpoint has reached; gives its Chosen."""
    with starting(console, verbose=verbose):
        from flows.choose import choose

    if not verbose:
        log_to(console, "choose")
    with console.status(f"Measuring {len(choice.endpoints)} endpoints at the same time"):
        state = choose(choice, return_state=True)
    result = getattr(state.data, "result", state.data)
    if isinstance(result, BaseException):
        raise result
    return result


def show(answer: dict[str, Any], console: Console) -> None:
    """The ranking, and where its page is."""
    table = Table("shape", *COLUMNS, box=None, header_style="dim")
    table.columns[0].overflow = "fold"  # a name that is cut might be another's
    for column in table.columns[1:]:
        column.justify = "right"
    for rank in answer["ranking"]:
        numbers = [_number(rank[name], digits) for name, digits in COLUMNS.values()]
        table.add_row(escape(rank["shape"]), *numbers)
    console.print(table)
    console.print(f"\nAsked for: {', '.join(answer['slos'])}", highlight=False, markup=False)
    console.print(f"\n[bold]{escape(answer['headline'])}[/bold]", highlight=False)
    for sentence in answer["sentences"]:
        console.print(f"  {sentence}", highlight=False, markup=False)
    console.print(f"\nPage:      {answer['page']}", highlight=False, soft_wrap=True, markup=False)


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


def _number(value: float | None, digits: int | None) -> str:
    if digits is not None:
        return money(value, digits)
    return "-" if value is None else f"{value:,.0f}"
