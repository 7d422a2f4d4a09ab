"""Choosing among machines that are measured now."""

from pathlib import Path

import click

from shapebench.commands.options import as_json, data_option
from shapebench.commands.output import above, print_json


@click.command()
@click.argument("file", metavar="CHOICE.yaml", type=click.Path(path_type=Path))
@click.option("--users", type=int, metavar="N", help="For how many users at once there is to be room.")
@data_option
@as_json
def choose(file: Path, users: int | None, data: Path | None, as_json: bool) -> None:
    """Measure several endpoints at the same time, and say which machine is the cheapest that suits."""
    from rich.console import Console

    from shapebench import spec
    from shapebench.choice import Choice

    given = {"users": users, "data": data}
    content = {**spec.read(file), **{name: value for name, value in given.items() if value is not None}}
    terminal = above("terminal.choose")
    chosen = terminal.run(spec.parse_as(Choice, content, "examples/choice.yaml"), Console(stderr=True))
    if chosen.compared and as_json:
        print_json({**chosen.compared.answer, "failures": chosen.failures})
    elif chosen.compared:
        terminal.show(chosen.compared.answer, Console())
    if chosen.failures:
        raise click.ClickException("\n".join(chosen.failures))
