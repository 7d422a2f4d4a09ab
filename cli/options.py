"""Options that several commands have, and how a spec is made of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from shapebench.spec import model as spec

Command = TypeVar("Command", bound=Callable[..., Any])


def with_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object or list.")
volume_option = with_options(
    click.option("--quiet", "volume", flag_value="quiet", help="Nothing on stderr but errors."),
    click.option("--verbose", "volume", flag_value="verbose", help="Milestones and Prefect's own lines as they come."),
)
data_option = click.option("--data", type=Path, help="Folder of results.duckdb, samples and reports. [default: data]")
endpoint_options = with_options(
    click.option("--url", help="Base address of the server, such as http://127.0.0.1:8000."),
    click.option("--model", help="The model's name as the server lists it."),
    click.option(
        "--ready-timeout", type=float, metavar="S", help="How long to wait for a healthy server. [default: 60]"
    ),
)
on_this_machine = click.option(
    "--on-this-machine",
    is_flag=True,
    default=None,
    help="The server runs on this machine: its OCI shape, GPUs and driver are read and kept with the run.",
)
workload_options = with_options(
    click.option("--workload", metavar="NAME", help="A workload that people compare with: see `shapebench workloads`."),
    click.option("--api", help="Which API to measure: chat or completions. [default: chat]"),
    click.option("--input-tokens", metavar="MEAN,STDDEV", help="Length of the prompts. [default: 200,40]"),
    click.option("--output-tokens", metavar="MEAN,STDDEV", help="Length of the answers. [default: 100,10]"),
    click.option("--seed", type=int, help="Repeat the prompts of an earlier run. [default: prompts never sent before]"),
)
load_options = with_options(
    click.option("--request-timeout", type=float, metavar="S", help="When a request counts as failed. [default: 300]"),
    click.option(
        "--stall-timeout", type=float, metavar="S", help="The longest pause within an answer. [default: none]"
    ),
    click.option("--duration", type=float, metavar="S", help="Measure for so long, alone or beside --requests."),
    click.option(
        "--until-precise", metavar="2%", help="Go on until the means of TTFT and throughput are known within so much."
    ),
    click.option("--processes", type=int, help="Processes that measure. [default: as many as the level needs]"),
    click.option("--calibrate/--no-calibrate", default=None, help="Try the client out first. [default: --calibrate]"),
)


def slo_option(words: str) -> Callable[[Command], Command]:
    """Repeatable; None where it is not given."""
    return click.option("--slo", multiple=True, metavar="SLO", callback=lambda *given: [*given[2]] or None, help=words)


# Where each flag goes in the spec: `shapebench.spec.model` says what it means and checks it.
FLAGS: dict[str, tuple[str, ...]] = {
    "url": ("endpoint", "url"),
    "model": ("endpoint", "model"),
    "ready_timeout": ("endpoint", "ready_timeout_s"),
    "shape": ("endpoint", "shape"),
    "on_this_machine": ("endpoint", "on_this_machine"),
    "weights_bytes": ("endpoint", "weights_bytes"),
    "api": ("endpoint", "api"),
    "workload": ("workload", "preset"),
    "input_tokens": ("workload", "input_tokens"),
    "output_tokens": ("workload", "output_tokens"),
    "seed": ("workload", "seed"),
    "levels": ("load", "levels"),
    "requests": ("load", "requests"),
    "duration": ("load", "duration_s"),
    "until_precise": ("load", "until_precise"),
    "request_timeout": ("load", "request_timeout_s"),
    "stall_timeout": ("load", "stall_timeout_s"),
    "processes": ("load", "processes"),
    "calibrate": ("load", "calibrate"),
    "slo": ("limits", "slo"),
    "slo_only": ("limits", "slo_only"),
    "min_level": ("search", "min_level"),
    "max_level": ("search", "max_level"),
    "data": ("data",),
    "on_invalid": ("on_invalid",),
    "when_busy": ("when_busy",),
}


def spec_from(file: Path | None, flags: dict[str, Any]) -> spec.Spec:
    """Read the spec in a file, with the flags that were given put over it."""
    content = spec.read(file) if file else {}
    content.setdefault("endpoint", {})
    for name, value in flags.items():
        if value is not None:
            *sections, field = FLAGS[name]
            section = content
            for key in sections:
                section = section.setdefault(key, {})
            section[field] = str(value) if isinstance(value, Path) else value
    return spec.parse(content)
