"""Commands that measure, or stand in for what is measured."""

from pathlib import Path
from typing import Any

import click

from cli.commands.options import (
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
from cli.commands.output import above, print_json
from shapebench.errors import ShapebenchError


@click.command()
@click.argument("spec_file", metavar="[SPEC.yaml]", required=False, type=click.Path(path_type=Path))
@endpoint_options
@click.option("--shape", help="The machine that serves, such as VM.GPU.A10.1.")
@on_this_machine
@click.option(
    "--weights-bytes", type=float, help="Size of the model's weights: no query is faster than the shape reads them."
)
@click.option("--levels", metavar="N,N,…", help="Concurrency levels. [default: 1,2,4,8,16,32]")
@click.option("--requests", type=int, help="Requests for each level. [default: 30 for each stream, at least 100]")
@load_options
@workload_options
@slo_option("What a level must give beside the limits, such as 'ttft_s p99 <= 1' or 'error_rate <= 1%'. Repeatable.")
@click.option("--on-invalid", help="mark or fail: how the run ends when a level is invalid. [default: mark]")
@click.option("--when-busy", help="wait or fail: what to do while another run measures the endpoint. [default: wait]")
@data_option
@volume_option
@as_json
def run(spec_file: Path | None, as_json: bool, volume: str | None, **flags: Any) -> None:
    """Run the whole pipeline: probe, measure each level, validate, store, draw, publish."""
    from rich.console import Console

    spec = spec_from(spec_file, flags)
    terminal = above("cli.run")
    ended = terminal.run(spec, Console(stderr=True, quiet=volume == "quiet"), verbose=volume == "verbose")
    _show(terminal, spec, ended, as_json=as_json)


@click.command()
@click.argument("run_id")
@click.option("--as-is", is_flag=True, help="Measure nothing more: store and report the levels that are there.")
@data_option
@volume_option
@as_json
def resume(run_id: str, as_is: bool, data: Path | None, volume: str | None, as_json: bool) -> None:
    """Go on with a run that was broken off: measure what is left, then do all that follows."""
    from rich.console import Console

    from shapebench.runs.resume import settle

    earlier = settle(data or Path("data"), run_id, as_is=as_is)
    spec, terminal = earlier.run.spec, above("cli.run")
    console = Console(stderr=True, quiet=volume == "quiet")
    ended = terminal.run(spec, console, earlier=earlier, verbose=volume == "verbose")
    _show(terminal, spec, ended, as_json=as_json)


def _show(terminal: Any, spec: Any, ended: Any, *, as_json: bool) -> None:
    """How the flow ended; raises ClickException where it failed."""
    from rich.console import Console

    if ended.outcome is None:
        raise click.ClickException(ended.message)
    if as_json:
        print_json(terminal.as_object(spec, ended.outcome))
    else:
        terminal.show(spec, ended.outcome, Console())
    if ended.failed:
        raise click.ClickException(ended.message)


@click.command()
@endpoint_options
@click.option("--concurrency", type=int, required=True, help="Streams that are busy all the time.")
@click.option(
    "--requests", type=int, help="Requests to measure, of all streams together. [default: 30 for each, at least 100]"
)
@load_options
@workload_options
@click.option("--samples", type=Path, help="Keep the raw samples in this folder.")
@click.option("--quiet", is_flag=True, help="Nothing on stderr but errors.")
@as_json
def measure(concurrency: int, samples: Path | None, quiet: bool, as_json: bool, **flags: Any) -> None:
    """Measure one level with the instrument alone: no Prefect, no database."""
    from cli import single_level as alone

    spec = spec_from(None, {**flags, "levels": [concurrency]})
    result = alone.measure(spec, samples, quiet=quiet)
    if as_json:
        print_json(result)
    else:
        alone.show(result)
    if not result["completed"]:
        raise click.ClickException(f"No request completed: {result['errors']}. --samples keeps what each of them met.")


@click.command()
@click.option("--preset", default="a10-llama-3.2-3b", show_default=True, help="What to behave like.")
@click.option("--port", type=int, default=8000, show_default=True, help="Port on 127.0.0.1; 0 takes any that is free.")
@click.option("--log", type=Path, help="Write what really happened to this file, one JSON line for each request.")
@click.option("--api-key", help="Want this API key, as vLLM's --api-key does.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Change a field of the preset. Repeatable."
)
@click.option(
    "--fault", "faults", multiple=True, metavar="NAME=VALUE", help="Do something wrong, for tests. Repeatable."
)
def simulate(preset: str, settings: tuple[str, ...], faults: tuple[str, ...], **flags: Any) -> None:
    """Serve as vLLM does, with known timing, until stopped."""
    from shapebench.test_servers.simulator.faults import faults_from
    from shapebench.test_servers.simulator.presets import PRESETS, with_settings
    from shapebench.test_servers.simulator.server import serve

    if preset not in PRESETS:
        raise click.BadParameter(f"{preset!r} is none of {', '.join(PRESETS)}", param_hint="--preset")
    try:
        changed, wrong = with_settings(PRESETS[preset], settings), faults_from(faults)
    except ShapebenchError as error:
        raise click.UsageError(str(error)) from None
    serve(changed, faults=wrong, **flags)
