"""Lists known machines, and estimates what a model needs."""

from dataclasses import asdict
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from cli.options import as_json, default_text, with_options
from cli.output import print_json
from shapebench.sizing import catalogue_tables as catalogue
from shapebench.sizing.estimate import output
from shapebench.sizing.estimate.bounds import Workload
from shapebench.sizing.estimate.estimating import estimate as estimate_on
from shapebench.sizing.estimate.families import Served, model_from
from shapebench.sizing.estimate.fit import Serving
from shapebench.sizing.shapes import all_shapes, known_shape
from shapebench.spec.model import Tokens
from shapebench.spec.model import Workload as WorkloadSpec

lengths = WorkloadSpec.model_fields

model_options = with_options(
    click.option("--dtype", default="auto", show_default=True, help="auto, half, bfloat16 or float32."),
    click.option("--quantization", help="awq, gptq, fp8, … [default: that of config.json]"),
    click.option("--kv-cache-dtype", default="auto", show_default=True, help="auto or fp8."),
)
serving_options = with_options(
    click.option(
        "--tensor-parallel", type=click.IntRange(1), help="GPUs of each copy. [default: as many as divide it]"
    ),
    click.option("--gpu-memory-utilization", type=click.FloatRange(0, 1, min_open=True), help="[default: 0.9]"),
)


@click.command()
@click.argument("model")
@click.option("--shape", "shapes", multiple=True, help="Such as VM.GPU.A10.1. Repeatable. [default: all]")
@click.option(
    "--input-tokens",
    default=default_text(lengths["input_tokens"]),
    show_default=True,
    metavar="MEAN,STDDEV",
    help="Length of the prompts; only the mean counts.",
)
@click.option(
    "--output-tokens",
    default=default_text(lengths["output_tokens"]),
    show_default=True,
    metavar="MEAN,STDDEV",
    help="Length of the answers; only the mean counts.",
)
@click.option("--concurrency", type=click.IntRange(1), default=32, show_default=True, help="Requests in flight.")
@model_options
@serving_options
@as_json
def estimate(model: str, shapes: tuple[str, ...], concurrency: int, as_json: bool, **flags: Any) -> None:
    """Estimate whether MODEL fits a shape, and how fast and cheap it is at best.

    MODEL is the path of its config.json, of the folder that it lies in, or the name of a well-known model.
    """
    lengths = {name: _mean(name, flags.pop(name)) for name in ("input_tokens", "output_tokens")}
    workload = Workload(**lengths, concurrency=concurrency)
    served = Served(*(flags.pop(name) for name in ("dtype", "quantization", "kv_cache_dtype")))
    serving = Serving(**{name: value for name, value in flags.items() if value is not None})
    described, candidates = model_from(model, served), [known_shape(name) for name in shapes] or all_shapes()
    estimates = [estimate_on(described, shape, workload, serving) for shape in candidates]
    if as_json:
        print_json(output.estimate_object(described, estimates, workload, serving))
    else:
        output.print_estimates(described, estimates, workload, _console())


def _mean(name: str, text: str) -> int:
    try:
        return max(1, round(TypeAdapter(Tokens).validate_python(text).mean))
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise click.BadParameter(problem, param_hint=f"--{name.replace('_', '-')}") from None


@click.command()
@click.argument("shape", required=False)
@as_json
def shapes(shape: str | None, as_json: bool) -> None:
    """List the known compute shapes, or everything known about SHAPE, with its sources."""
    listed = [known_shape(shape)] if shape else all_shapes()
    if as_json:
        print_json([asdict(known) for known in listed])
    elif shape:
        catalogue.show_one(listed[0], _console())
    else:
        catalogue.show_all(listed, _console())


def _console() -> Console:
    """Make a console that shows names as they are: brackets in them are no markup."""
    return Console(markup=False, highlight=False)
