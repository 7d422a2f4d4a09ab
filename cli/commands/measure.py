"""Measures one level, with neither Prefect nor a database."""

from pathlib import Path

import click

from cli.options import as_json, endpoint_options, load_options, spec_from, spec_options, workload_options
from cli.output import print_json
from cli.single_level import measure_single_level, print_level


@click.command()
@endpoint_options
@click.option("--concurrency", type=int, required=True, help="Streams that are busy all the time.")
@spec_options("--requests")
@load_options
@workload_options
@click.option("--samples", type=Path, help="Keep the raw samples in this folder.")
@click.option("--quiet", is_flag=True, help="Print only errors to stderr.")
@as_json
def measure(concurrency: int, samples: Path | None, quiet: bool, as_json: bool, **flags: object) -> None:
    """Measure one level, without Prefect and without a database."""
    spec = spec_from(None, {**flags, "levels": [concurrency]})
    result = measure_single_level(spec, samples, quiet=quiet)
    if as_json:
        print_json(result)
    else:
        print_level(result)
    if not result["completed"]:
        raise click.ClickException(f"No request completed: {result['errors']}. --samples stores the error of each.")
