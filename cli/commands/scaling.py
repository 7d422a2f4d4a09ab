"""Whether a throughput curve still grows."""

from pathlib import Path

import click
from rich.console import Console

from cli.options import as_json
from cli.output import print_json
from shapebench.analysis.scaling import output
from shapebench.analysis.scaling.curve import read_curve
from shapebench.analysis.scaling.saturation import saturation


@click.command()
@click.argument("file", metavar="CURVE.csv", type=click.Path(path_type=Path))
@as_json
def scaling(file: Path, as_json: bool) -> None:
    """Say where throughput stops growing with concurrency, of numbers that anybody measured.

    CURVE.csv has the columns concurrency and system_tokens_per_s and, where known, query_tokens_per_s and ttft_s.
    Rows that cannot be true are named and left out.
    """
    curve = read_curve(file)
    found = saturation(curve.rows)
    if as_json:
        print_json(output.saturation_object(found, curve))
    else:
        output.print_saturation(found, curve, Console())
