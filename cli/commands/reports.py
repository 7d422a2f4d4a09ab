"""Commands that draw and send."""

from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import click

from cli.commands.options import as_json, data_option
from cli.commands.output import above, print_json


@click.command()
@click.argument("run_id")
@data_option
@as_json
def report(run_id: str, data: Path | None, as_json: bool) -> None:
    """Draw a run's report again from the database."""
    from shapebench.report.build import draw

    page = draw(data or Path("data"), run_id)
    if as_json:
        print_json({"run_id": run_id, "report": str(page)})
    else:
        click.echo(page)


def _unlocked(spec: Any) -> AbstractContextManager[None]:
    """With the credentials at hand, where Prefect blocks have them; Prefect takes seconds to import."""
    return (
        cast("AbstractContextManager[None]", above("tasks.prefect.blocks").unlocked(spec))
        if spec.blocks
        else nullcontext()
    )


@click.command()
@click.argument("run_id")
@click.option("--with-database", "database", is_flag=True, help="Send a copy of results.duckdb as well, all its runs.")
@click.option("--with-samples", "samples", is_flag=True, help="Send the run's raw samples as well.")
@click.option(
    "--share-for-days",
    type=click.IntRange(1, 365),
    metavar="N",
    help="Show a link with which anybody can read the report for N days; it is shown this once.",
)
@data_option
@as_json
def publish(run_id: str, data: Path | None, as_json: bool, share_for_days: int | None, **also: bool) -> None:
    """Send a run's report to where its spec publishes; what is there already is not sent again."""
    from shapebench.publish import publish as publishing
    from shapebench.runs import run_file as runs

    folder = data or Path("data")
    spec = runs.load(folder, run_id).run.spec.model_copy(update={"data": folder})
    spec = publishing.including(spec, [name for name, wanted in also.items() if wanted])
    with _unlocked(spec):
        days = publishing.days_to_share(spec, run_id, share_for_days)
        files = publishing.publish(spec, run_id)
        if not as_json:
            _show_files(files)
        link = publishing.share(spec, run_id, days) if days else None
    if as_json:
        print_json({"files": files, "link": link} if link else files)
    elif link:
        _show_link(link)
    elif until := publishing.shared_until(spec, run_id):
        click.echo(f"A link made earlier is good until {_spoken(until)}; --share-for-days N makes another.", err=True)


def _show_files(files: list[Any]) -> None:
    for file in files:
        click.echo(file.url)
    sent = sum(file.sent for file in files)
    click.echo(f"{sent} files sent; {len(files) - sent} were there already.", err=True)


def _show_link(link: Any) -> None:
    click.echo(
        f"Until {_spoken(link.expires_at)}, whoever has this link can read the report. It is shown this once:", err=True
    )
    click.echo(link.url)
    click.echo(f"Its id, by which it can be withdrawn: {link.link_id}", err=True)


def _spoken(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
