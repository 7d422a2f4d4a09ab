"""Searches for the highest concurrency at which an endpoint meets all SLOs."""

from pathlib import Path

import click
from rich.console import Console

from cli.capacity import search_object
from cli.options import (
    as_json,
    data_option,
    endpoint_options,
    load_options,
    slo_in_place_of_limits,
    spec_from,
    spec_options,
    volume_option,
    workload_options,
)
from cli.output import print_json
from cli.run import print_result, run_benchmark
from shapebench.spec.model import LIMITS, Search, Spec, read


@click.command()
@click.argument("spec_file", metavar="[SPEC.yaml]", required=False, type=click.Path(path_type=Path))
@endpoint_options
@spec_options("--shape", "--on-this-machine")
@slo_in_place_of_limits
@spec_options("--min-level", "--max-level", "--requests")
@load_options
@workload_options
@spec_options("--when-busy")
@data_option
@volume_option
@as_json
def capacity(spec_file: Path | None, as_json: bool, volume: str | None, **flags: object) -> None:
    """Search for the highest concurrency that meets all SLOs, and store every level that was measured."""
    spec = _searching(spec_file, flags)
    ended = run_benchmark(spec, Console(stderr=True, quiet=volume == "quiet"), verbose=volume == "verbose")
    if ended.outcome is None:
        raise click.ClickException(ended.message)
    if as_json:
        print_json(search_object(spec, ended.outcome))
    else:
        print_result(spec, ended.outcome, Console())
    if ended.failed:
        raise click.ClickException(ended.message)


def _searching(file: Path | None, flags: dict[str, object]) -> Spec:
    """Read the spec, in which SLOs from flags replace the limits unless the file sets these."""
    limits = read(file).get("limits") or {} if file else {}
    only = bool(flags["slo"]) and not set(limits) & set(LIMITS)
    spec = spec_from(file, {**flags, "slo_only": only or None})
    return spec if spec.search else spec.model_copy(update={"search": Search()})
