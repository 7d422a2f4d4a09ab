"""Choosing among machines, from a terminal."""

import os
import signal
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from shapebench.choice import Choice
from terminal import own_server
from terminal.run import SETTINGS


def run(choice: Choice, console: Console) -> Any:
    """Run the flow here; gives its Chosen."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the server that was started for the run would stay
    with console.status("Starting Prefect"):
        wait_for_server = own_server.start()
        from flows.choose import choose

        wait_for_server()
    shapes = ", ".join(endpoint.shape for endpoint in choice.endpoints)
    with console.status(f"Measuring {shapes}, at the same time"):
        state = choose(choice, return_state=True)
    result = getattr(state.data, "result", state.data)
    if isinstance(result, BaseException):
        raise result
    return result


def show(answer: dict[str, Any], console: Console) -> None:
    """The ranking, and where its page is."""
    table = Table("shape", "users", "tok/s", "an hour", "million\noutput tokens", "a user\nfor an hour", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for rank in answer["ranking"]:
        money = (_money(rank[name], digits) for name, digits in _MONEY)
        table.add_row(rank["shape"], str(rank["greatest"]), f"{rank['system_tokens_per_s'] or 0:,.0f}", *money)
    console.print(table)
    console.print(f"\n[bold]{answer['headline']}[/bold]", highlight=False)
    for sentence in answer["sentences"]:
        console.print(f"  {sentence}", highlight=False)
    console.print(f"\nPage:      {answer['page']}", highlight=False, soft_wrap=True)


_MONEY = (("price_per_hour", 2), ("per_million_output_tokens", 3), ("per_user_hour", 4))


def _money(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
