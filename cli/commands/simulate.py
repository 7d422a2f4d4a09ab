"""Simulates an LLM server."""

from pathlib import Path
from typing import Any

import click

from shapebench.errors import ShapebenchError
from shapebench.test_servers.simulator.faults import parse_faults
from shapebench.test_servers.simulator.presets import PRESETS, with_settings
from shapebench.test_servers.simulator.server import serve


@click.command()
@click.option("--preset", default="a10-llama-3.2-3b", show_default=True, help="Preset of model and GPU to simulate.")
@click.option("--port", type=int, default=8000, show_default=True, help="Port on 127.0.0.1; 0 for any free port.")
@click.option("--log", type=Path, help="Log the true times to this file, one JSON line per request.")
@click.option("--api-key", help="Require this API key, like vLLM's --api-key.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Change a field of the preset. Repeatable."
)
@click.option("--fault", "faults", multiple=True, metavar="NAME=VALUE", help="Inject a fault, for tests. Repeatable.")
def simulate(preset: str, settings: tuple[str, ...], faults: tuple[str, ...], **flags: Any) -> None:
    """Serve as vLLM does, with known timing, until stopped."""
    if preset not in PRESETS:
        raise click.BadParameter(f"{preset!r} is not one of {', '.join(PRESETS)}", param_hint="--preset")
    try:
        changed, wrong = with_settings(PRESETS[preset], settings), parse_faults(faults)
    except ShapebenchError as error:
        raise click.UsageError(str(error)) from None
    serve(changed, faults=wrong, **flags)
