"""Publishes a run's report again."""

from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import click

from cli.options import as_json, data_option
from cli.output import print_json
from shapebench.publish import publish as publishing
from shapebench.runs import run_file
from shapebench.runs.records import Artifact, Link
from shapebench.spec.model import Spec


@click.command()
@click.argument("run_id")
@click.option("--with-database", "database", is_flag=True, help="Also publish a copy of results.duckdb with all runs.")
@click.option("--with-samples", "samples", is_flag=True, help="Also publish the run's raw samples.")
@click.option(
    "--share-for-days",
    type=click.IntRange(1, 365),
    metavar="N",
    help="Create and print a link by which anybody can read the report for N days. It is shown only once.",
)
@data_option
@as_json
def publish(run_id: str, data: Path | None, as_json: bool, share_for_days: int | None, **also: bool) -> None:
    """Publish a run's report again, as its spec says; files that are there already are not sent."""
    folder = data or Path("data")
    spec = run_file.load(folder, run_id).run.spec.model_copy(update={"data": folder})
    spec = publishing.extend_include(spec, [name for name, wanted in also.items() if wanted])
    with _credentials(spec):
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
        click.echo(f"An earlier link is valid until {_utc(until)}; --share-for-days N creates another.", err=True)


def _credentials(spec: Spec) -> AbstractContextManager[None]:
    """Read the credentials that the spec keeps in Prefect blocks, for as long as the block runs."""
    if not spec.blocks:
        return nullcontext()
    from tasks.prefect.blocks import credentials_from_blocks  # and with it Prefect, which takes seconds

    return credentials_from_blocks(spec)


def _show_files(files: list[Artifact]) -> None:
    for file in files:
        click.echo(file.url)
    sent = sum(file.sent for file in files)
    click.echo(f"{sent} files sent; {len(files) - sent} were there already.", err=True)


def _show_link(link: Link) -> None:
    click.echo(
        f"Until {_utc(link.expires_at)}, anybody with this link can read the report. It is shown only once:", err=True
    )
    click.echo(link.url)
    click.echo(f"Its id, by which it can be withdrawn: {link.link_id}", err=True)


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
