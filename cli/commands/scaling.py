"""Finds where a throughput curve stops growing."""

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
    """Find where throughput stops growing with concurrency, in numbers from any tool.

    CURVE.csv has the columns concurrency and system_tokens_per_s and, where known, query_tokens_per_s and ttft_s.
    Impossible rows are named and skipped.
    """
    curve = read_curve(file)
    result = saturation(curve.rows)
    if as_json:
        print_json(output.saturation_object(result, curve))
    else:
        output.print_saturation(result, curve, Console())
