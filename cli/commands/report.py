"""Builds a run's report again."""

from pathlib import Path

import click

from cli.options import as_json, data_option
from cli.output import print_json
from shapebench.report.build import build_report


@click.command()
@click.argument("run_id")
@data_option
@as_json
def report(run_id: str, data: Path | None, as_json: bool) -> None:
    """Build a run's report again from the database."""
    page = build_report(data or Path("data"), run_id)
    if as_json:
        print_json({"run_id": run_id, "report": str(page)})
    else:
        click.echo(page)
