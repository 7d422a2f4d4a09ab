"""The flow `choose` in a terminal."""

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.run import log_to, starting
from shapebench.analysis.comparison.table import COLUMNS, cells
from shapebench.spec.multi_endpoint import Choice

if TYPE_CHECKING:
    from flows.choose import Chosen


def run_choice(choice: Choice, console: Console, *, verbose: bool = False) -> "Chosen":
    """Run the flow here, with the progress of each endpoint on `console`; return the ranking and the failures."""
    with starting(console, verbose=verbose):
        from flows.choose import Chosen, choose

    if not verbose:
        log_to(console, "choose")
    with console.status(f"Measuring {len(choice.endpoints)} endpoints at the same time"):
        state = choose(choice, return_state=True)
    result = getattr(state.data, "result", state.data)
    if isinstance(result, BaseException):
        raise result
    assert isinstance(result, Chosen)
    return result


def print_ranking(answer: dict[str, Any], console: Console) -> None:
    """Print the ranking, and where its page is."""
    table = Table("shape", *COLUMNS, box=None, header_style="dim")
    table.columns[0].overflow = "fold"  # a name that is cut might be another's
    for column in table.columns[1:]:
        column.justify = "right"
    for rank in answer["ranking"]:
        table.add_row(escape(rank["shape"]), *cells(rank))
    console.print(table)
    console.print(f"\nSLOs: {', '.join(answer['slos'])}", highlight=False, markup=False)
    console.print(f"\n[bold]{escape(answer['headline'])}[/bold]", highlight=False)
    for sentence in answer["sentences"]:
        console.print(f"  {sentence}", highlight=False, markup=False)
    console.print(f"\nPage:      {answer['page']}", highlight=False, soft_wrap=True, markup=False)
