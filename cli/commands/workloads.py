"""Lists workloads."""

import click

from cli.options import as_json
from cli.output import print_json
from shapebench.spec.model import Load, Normal, Workload
from shapebench.spec.presets import Preset, presets


@click.command()
@as_json
def workloads(as_json: bool) -> None:
    """List the workload presets and their sources."""
    if as_json:
        print_json([{"name": name, **vars(preset)} for name, preset in presets().items()])
        return
    for name, preset in presets().items():
        click.echo(f"{name:<22}{preset.about}")
        for line in _lines(preset):
            click.echo(f"{'':<22}{line}")


def _lines(preset: Preset) -> list[str]:
    lengths, load = Workload.model_validate(preset.workload), Load.model_validate(preset.load)
    limit = load.stop_below_query_tokens_per_s
    stops = f", as long as each query gets {limit:g} tokens/s" if limit else ""
    assumed = [f"Left open there: {preset.assumed}"] if preset.assumed else []
    return [
        f"{_words(lengths.input_tokens)} tokens in, {_words(lengths.output_tokens)} out",
        f"{load.levels[0]} to {load.levels[-1]} streams{stops}",
        preset.source,
        *assumed,
    ]


def _words(tokens: Normal) -> str:
    return f"N({tokens.mean:g}, {tokens.stddev:g})" if tokens.stddev else f"{tokens.mean:g}"
