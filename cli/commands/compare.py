"""Compares runs, and builds pages of all of them."""

from pathlib import Path

import click

from cli.options import as_json, data_option
from cli.output import print_json
from shapebench.report.build_comparison import VIEWS, ComparisonRequest, find_runs
from shapebench.report.build_comparison import compare as compare_runs
from shapebench.report.build_site import build


@click.command()
@click.argument("runs", metavar="RUN…", nargs=-1, required=True)
@click.option(
    "--view",
    help="changes (of two), shapes (which machine is best) or history (of an endpoint). [default: depends on the runs]",
)
@click.option("--price", "prices", multiple=True, metavar="SHAPE=USD", help="Price of an hour of a shape. Repeatable.")
@click.option("--users", type=int, metavar="N", help="Concurrent users that the machines must serve.")
@data_option
@as_json
def compare(  # noqa: PLR0913 - an argument for each option
    runs: tuple[str, ...],
    *,
    view: str | None,
    prices: tuple[str, ...],
    users: int | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Compare runs: what changed between two, which machine is best, or an endpoint over time."""
    if view is not None and view not in VIEWS:
        raise click.BadParameter(f"{view!r} is not one of {', '.join(VIEWS)}", param_hint="--view")
    folder = data or Path("data")
    request = ComparisonRequest(folder, find_runs(folder, runs), dict(map(_price, prices)), users)
    compared = compare_runs(request, view)
    if as_json:
        print_json(compared.answer)
        return
    for line in (compared.answer.get("headline", ""), *compared.answer.get("sentences", ()), compared.page):
        click.echo(line)


def _price(text: str) -> tuple[str, float]:
    shape, _, price = text.rpartition("=")
    try:
        return shape, float(price)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not SHAPE=PRICE, such as VM.GPU.A10.1=2", param_hint="--price") from None


@click.command()
@click.option("--to", type=Path, metavar="DIR", help="Where to build it. [default: DATA/site]")
@data_option
@as_json
def site(to: Path | None, data: Path | None, as_json: bool) -> None:
    """Build pages of all runs, as static files; unchanged files stay as they are."""
    folder = data or Path("data")
    built = build(folder, to or folder / "site")
    if as_json:
        print_json({"index": str(built.index), "written": [str(file) for file in built.written]})
    else:
        click.echo(f"{len(built.written)} files written.", err=True)
        click.echo(built.index)
