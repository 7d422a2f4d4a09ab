"""Searches for the greatest concurrency that an endpoint sustains."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from cli.capacity import search_object
from cli.options import (
    as_json,
    data_option,
    endpoint_options,
    load_options,
    on_this_machine,
    slo_option,
    spec_from,
    volume_option,
    workload_options,
)
from cli.output import print_json
from cli.run import print_result, run_benchmark
from shapebench.spec.model import LIMITS, Search, Spec, read


@click.command()
@click.argument("spec_file", metavar="[SPEC.yaml]", required=False, type=click.Path(path_type=Path))
@endpoint_options
@click.option("--shape", help="The machine that serves, such as VM.GPU.A10.1.")
@on_this_machine
@slo_option(
    "What a level must give, such as 'ttft_s p95 <= 0.5'. Repeatable. "
    "[default: the limits, 10 tokens/s for each query and 500 ms to the first token]"
)
@click.option("--min-level", type=int, metavar="N", help="Lowest level of the search. [default: 1]")
@click.option("--max-level", type=int, metavar="N", help="Highest level of the search. [default: 1024]")
@click.option("--requests", type=int, help="Requests for each level. [default: 30 for each stream, at least 100]")
@load_options
@workload_options
@click.option("--when-busy", help="wait or fail: what to do while another run measures the endpoint. [default: wait]")
@data_option
@volume_option
@as_json
def capacity(spec_file: Path | None, as_json: bool, volume: str | None, **flags: Any) -> None:
    """Search for the greatest concurrency that meets all SLOs, and store every level that was measured."""
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


def _searching(file: Path | None, flags: dict[str, Any]) -> Spec:
    """Read the spec, in which SLOs from flags replace the limits unless the file sets these."""
    limits = read(file).get("limits") or {} if file else {}
    only = bool(flags["slo"]) and not set(limits) & set(LIMITS)
    spec = spec_from(file, {**flags, "slo_only": only or None})
    return spec if spec.search else spec.model_copy(update={"search": Search()})
