"""Commands that draw and send."""

from pathlib import Path

import click

from shapebench.commands.options import as_json, data_option
from shapebench.commands.output import print_json


@click.command()
@click.argument("run_id")
@data_option
@as_json
def report(run_id: str, data: Path | None, as_json: bool) -> None:
    """Draw a run's report again from the database."""
    from shapebench.draw import draw

    page = draw(data or Path("data"), run_id)
    if as_json:
        print_json({"run_id": run_id, "report": str(page)})
    else:
        click.echo(page)


@click.command()
@click.argument("run_id")
@data_option
@as_json
def publish(run_id: str, data: Path | None, as_json: bool) -> None:
    """Send a run's report again to where its spec publishes."""
    from shapebench import runs
    from shapebench.publish import publish as publish_report

    folder = data or Path("data")
    spec = runs.load(folder, run_id).run.spec.model_copy(update={"data": folder})
    artifacts = publish_report(spec, run_id)
    if as_json:
        print_json(artifacts)
    else:
        for artifact in artifacts:
            click.echo(artifact.url)
