"""Choosing among machines that are measured now."""

from pathlib import Path
from typing import Any

import click

from cli.commands.options import as_json, data_option, volume_option
from cli.commands.output import above, print_json


@click.command()
@click.argument("file", metavar="CHOICE.yaml", type=click.Path(path_type=Path))
@click.option("--users", type=int, metavar="N", help="For how many users at once there is to be room.")
@data_option
@volume_option
@as_json
def choose(file: Path, volume: str | None, as_json: bool, **given: Any) -> None:
    """Measure several endpoints at the same time, and say which machine is the cheapest that suits."""
    from rich.console import Console

    choice, terminal = _choice(file, given), above("cli.choose")
    chosen = terminal.run(choice, Console(stderr=True, quiet=volume == "quiet"), verbose=volume == "verbose")
    if chosen.compared and as_json:
        print_json({**chosen.compared.answer, "failures": chosen.failures})
    elif chosen.compared:
        terminal.show(chosen.compared.answer, Console())
    if chosen.failures:
        raise click.ClickException("\n".join(chosen.failures))


def _choice(file: Path, given: dict[str, Any]) -> Any:
    """What is in the file, with the flags that were given put over it."""
    from shapebench.spec import model as spec
    from shapebench.spec.multi_endpoint import Choice

    content = {**spec.read(file), **{name: value for name, value in given.items() if value is not None}}
    return spec.parse_as(Choice, content, "examples/choice.yaml")
