"""Runs the main flow, from the start or where it was interrupted."""

from pathlib import Path

import click
from rich.console import Console

from cli.options import (
    as_json,
    data_option,
    endpoint_options,
    load_options,
    spec_from,
    spec_options,
    volume_option,
    workload_options,
)
from cli.output import print_json
from cli.run import FlowResult, print_result, result_object, run_benchmark
from shapebench.runs.resume import settle
from shapebench.spec.model import Spec


@click.command()
@click.argument("spec_file", metavar="[SPEC.yaml]", required=False, type=click.Path(path_type=Path))
@endpoint_options
@spec_options("--shape", "--on-this-machine", "--weights-bytes", "--levels", "--requests")
@load_options
@workload_options
@spec_options("--slo", "--on-invalid", "--when-busy")
@data_option
@volume_option
@as_json
def run(spec_file: Path | None, as_json: bool, volume: str | None, **flags: object) -> None:
    """Run the whole pipeline: probe, measure each level, validate, store, report, publish."""
    spec = spec_from(spec_file, flags)
    ended = run_benchmark(spec, Console(stderr=True, quiet=volume == "quiet"), verbose=volume == "verbose")
    _print(spec, ended, as_json=as_json)


@click.command()
@click.argument("run_id")
@click.option("--as-is", is_flag=True, help="Measure no more levels; store and report those that were measured.")
@data_option
@volume_option
@as_json
def resume(run_id: str, as_is: bool, data: Path | None, volume: str | None, as_json: bool) -> None:
    """Resume an interrupted run: measure the remaining levels, then validate, store, report and publish."""
    earlier = settle(data or Path("data"), run_id, as_is=as_is)
    console = Console(stderr=True, quiet=volume == "quiet")
    ended = run_benchmark(earlier.run.spec, console, earlier=earlier, verbose=volume == "verbose")
    _print(earlier.run.spec, ended, as_json=as_json)


def _print(spec: Spec, ended: FlowResult, *, as_json: bool) -> None:
    """Print how the flow ended; raises ClickException where it failed."""
    if ended.outcome is None:
        raise click.ClickException(ended.message)
    if as_json:
        print_json(result_object(spec, ended.outcome))
    else:
        print_result(spec, ended.outcome, Console())
    if ended.failed:
        raise click.ClickException(ended.message)
