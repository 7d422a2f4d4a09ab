"""Checks a set-up."""

from pathlib import Path

import click

from cli.doctor import examine, print_checks
from cli.options import as_json, data_option, endpoint_options, request_options, spec_from
from cli.output import print_json
from shapebench.results import database


@click.command()
@click.argument("spec_file", metavar="[SPEC.yaml]", required=False, type=click.Path(path_type=Path))
@endpoint_options
@request_options
@data_option
@click.option("--set-aside", is_flag=True, help="First rename a results file that cannot be read.")
@as_json
def doctor(spec_file: Path | None, set_aside: bool, as_json: bool, data: Path | None, **flags: object) -> None:
    """Check the set-up, and say how to repair it."""
    if set_aside:
        click.echo(f"It is now {database.set_aside(data or Path('data'))}.", err=True)
    named = spec_file is not None or flags["url"] is not None
    spec = spec_from(spec_file, {**flags, "data": data}) if named else None
    checks = examine(spec, spec.data if spec else data or Path("data"))
    if as_json:
        print_json(checks)
    else:
        print_checks(checks)
    if any(check.ok is False for check in checks):
        raise click.exceptions.Exit(1)
