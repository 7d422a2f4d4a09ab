"""Measures several endpoints, to choose among their machines."""

from pathlib import Path

import click
from rich.console import Console

from cli.choose import print_ranking, run_choice
from cli.options import as_json, data_option, spec_options, volume_option
from cli.output import print_json
from shapebench.spec.model import parse_as, read
from shapebench.spec.multi_endpoint import Choice


@click.command()
@click.argument("file", metavar="CHOICE.yaml", type=click.Path(path_type=Path))
@spec_options("--users")
@data_option
@volume_option
@as_json
def choose(file: Path, volume: str | None, as_json: bool, **flags: object) -> None:
    """Measure several endpoints at the same time, and rank their machines: the cheapest that meets the SLOs first."""
    choice = _choice(file, flags)
    chosen = run_choice(choice, Console(stderr=True, quiet=volume == "quiet"), verbose=volume == "verbose")
    if chosen.compared and as_json:
        print_json({**chosen.compared.answer, "failures": chosen.failures})
    elif chosen.compared:
        print_ranking(chosen.compared.answer, Console())
    if chosen.failures:
        raise click.ClickException("\n".join(chosen.failures))


def _choice(file: Path, flags: dict[str, object]) -> Choice:
    """Read the file, with the given flags in place of its values."""
    content = {**read(file), **{name: value for name, value in flags.items() if value is not None}}
    return parse_as(Choice, content, "examples/choice.yaml")
