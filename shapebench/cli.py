"""`shapebench …`: each command is a few lines around one stage, and imports it only when it is used.

Results go to stdout, everything else to stderr. Exit 0: done; 1: failed; 2: wrong usage.
"""

import sys
from collections.abc import Callable
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click

from shapebench.errors import ShapebenchError

Command = TypeVar("Command", bound=Callable[..., Any])


def main() -> None:
    """Run the command line; errors that a user can mend are shown without a traceback."""
    try:
        sys.exit(cli(standalone_mode=False) or 0)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _fail("Stopped. What was measured so far is in the data folder, under runs/.", 1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ShapebenchError as error:
        _fail(str(error), 2 if type(error).__name__ == "SpecError" else 1)


def _fail(message: str, code: int) -> None:
    click.echo(message, err=True)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="shapebench")
def cli() -> None:
    """Measure how an LLM server behaves as more people use it at once."""


def with_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object or list.")
data_option = click.option("--data", type=Path, help="Folder of results.duckdb, samples and reports. [default: data]")
endpoint_options = with_options(
    click.option("--url", help="Base address of the server, such as http://127.0.0.1:8000."),
    click.option("--model", help="The model's name as the server lists it."),
    click.option(
        "--ready-timeout", type=float, metavar="S", help="How long to wait for a healthy server. [default: 60]"
    ),
)
workload_options = with_options(
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

# Where each flag goes in the spec: `shapebench.spec` says what it means and checks it.
FLAGS: dict[str, tuple[str, ...]] = {
    "url": ("endpoint", "url"),
    "model": ("endpoint", "model"),
    "ready_timeout": ("endpoint", "ready_timeout_s"),
    "shape": ("endpoint", "shape"),
    "weights_bytes": ("endpoint", "weights_bytes"),
    "api": ("endpoint", "api"),
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
    "data": ("data",),
    "on_invalid": ("on_invalid",),
}


def _spec(file: Path | None, flags: dict[str, Any]) -> Any:
    """The spec in a file, with the flags that were given put over it."""
    from shapebench import spec

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


def _print_json(content: Any) -> None:
    import orjson

    click.echo(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY, default=_as_json))


def _as_json(value: Any) -> Any:
    """What JSON has no form for: SQL's exact numbers become JSON's, the rest text."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)


def _above(name: str) -> Any:
    """A module of the layers above the core, which the core knows only by name."""
    return import_module(name)


@cli.command()
@click.argument("spec_file", metavar="[SPEC.yaml]", required=False, type=click.Path(path_type=Path))
@endpoint_options
@click.option("--shape", help="The machine that serves, such as VM.GPU.A10.1.")
@click.option(
    "--weights-bytes", type=float, help="Size of the model's weights: no query is faster than the shape reads them."
)
@click.option("--levels", metavar="N,N,…", help="Concurrency levels. [default: 1,2,4,8,16,32]")
@click.option("--requests", type=int, help="Requests for each level. [default: 30 for each stream, at least 100]")
@load_options
@workload_options
@click.option("--on-invalid", help="mark or fail: how the run ends when a level is invalid. [default: mark]")
@data_option
@as_json
def run(spec_file: Path | None, as_json: bool, **flags: Any) -> None:
    """Run the whole pipeline: probe, measure each level, validate, store, draw, publish."""
    from rich.console import Console

    spec = _spec(spec_file, flags)
    terminal = _above("terminal.run")
    ended = terminal.run(spec, Console(stderr=True))
    if ended.outcome is None:
        raise click.ClickException(ended.message)
    if as_json:
        _print_json(terminal.as_object(spec, ended.outcome))
    else:
        terminal.show(spec, ended.outcome, Console())
    if ended.failed:
        raise click.ClickException(ended.message)


@cli.command()
@endpoint_options
@click.option("--concurrency", type=int, required=True, help="Streams that are busy all the time.")
@click.option(
    "--requests", type=int, help="Requests to measure, of all streams together. [default: 30 for each, at least 100]"
)
@load_options
@workload_options
@click.option("--samples", type=Path, help="Keep the raw samples in this folder.")
@as_json
def measure(concurrency: int, samples: Path | None, as_json: bool, **flags: Any) -> None:
    """Measure one level with the instrument alone: no Prefect, no database."""
    from shapebench import alone

    spec = _spec(None, {**flags, "levels": [concurrency]})
    result = alone.measure(spec, samples)
    if as_json:
        _print_json(result)
    else:
        alone.show(result)
    if not result["completed"]:
        raise click.ClickException(f"No request completed: {result['errors']}. --samples keeps what each of them met.")


@cli.command()
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
    from shapebench.simulator.faults import faults_from
    from shapebench.simulator.presets import PRESETS, with_settings
    from shapebench.simulator.server import serve

    if preset not in PRESETS:
        raise click.BadParameter(f"{preset!r} is none of {', '.join(PRESETS)}", param_hint="--preset")
    try:
        changed, wrong = with_settings(PRESETS[preset], settings), faults_from(faults)
    except ShapebenchError as error:
        raise click.UsageError(str(error)) from None
    serve(changed, faults=wrong, **flags)


@cli.command()
@click.argument("run_id")
@data_option
@as_json
def report(run_id: str, data: Path | None, as_json: bool) -> None:
    """Draw a run's report again from the database."""
    from shapebench.draw import draw

    page = draw(data or Path("data"), run_id)
    if as_json:
        _print_json({"run_id": run_id, "report": str(page)})
    else:
        click.echo(page)


@cli.command()
@click.argument("run_id")
@data_option
@as_json
def publish(run_id: str, data: Path | None, as_json: bool) -> None:
    """Send a run's report again to where its spec publishes."""
    from shapebench import runs
    from shapebench.publish import publish as publish_report

    folder = data or Path("data")
    spec = runs.load(folder, run_id).run.spec.model_copy(update={"data": folder})
    artifacts = publish_report(spec, run_id)
    if as_json:
        _print_json(artifacts)
    else:
        for artifact in artifacts:
            click.echo(artifact.url)


@cli.command("import")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--shape", help="The machine that served, such as VM.GPU.A10.1. [default: unknown shape]")
@data_option
@as_json
def import_results(paths: tuple[Path, ...], shape: str | None, data: Path | None, as_json: bool) -> None:
    """Import what LLMPerf, vllm bench serve, GuideLLM, AIPerf or genai-bench measured, from files and folders."""
    from shapebench.imports.taken import take

    imported = take(list(paths), data or Path("data"), shape)
    if as_json:
        _print_json(imported)
        return
    for run in imported:
        version = f" {run.tool_version}" if run.tool_version else ""
        levels = ", ".join(map(str, run.levels))
        click.echo(f"{run.run_id}  {run.tool}{version}  {run.model} on {run.shape}  concurrency {levels}")


@cli.command()
@click.argument("run_id")
@click.option("--format", "form", required=True, help="llmperf, parquet or csv.")
@click.option("--to", type=Path, metavar="DIR", help="Where to write. [default: DATA/exports/RUN_ID/FORMAT]")
@data_option
@as_json
def export(run_id: str, form: str, to: Path | None, data: Path | None, as_json: bool) -> None:
    """Write a run as LLMPerf's files, or its tables as Parquet or CSV."""
    from shapebench import exports

    if form not in exports.FORMATS:
        raise click.BadParameter(f"{form!r} is none of {', '.join(exports.FORMATS)}", param_hint="--format")
    files = exports.export(data or Path("data"), run_id, form, to)
    if as_json:
        _print_json({"run_id": run_id, "format": form, "files": [str(file) for file in files]})
    else:
        for file in files:
            click.echo(file)


@cli.command("runs")
@data_option
@as_json
def list_runs(data: Path | None, as_json: bool) -> None:
    """List the runs in the database, newest first."""
    sql = "SELECT run_id, started_at, model, shape, levels, verdict, headline FROM runs ORDER BY started_at DESC"
    _answer(data, sql, as_json)


@cli.command()
@click.argument("sql", metavar="VIEW|SQL")
@data_option
@click.option("--format", "form", help="table, csv, markdown or json. [default: table]")
@as_json
def query(sql: str, data: Path | None, form: str | None, as_json: bool) -> None:
    """Print a view or the answer to a SQL query."""
    _answer(data, f"FROM {sql}" if sql.isidentifier() else sql, as_json, form or "table")


def _answer(data: Path | None, sql: str, as_json: bool, form: str = "table") -> None:
    from shapebench import warehouse
    from shapebench.formats import FORMATS

    if form not in (*FORMATS, "json"):
        raise click.BadParameter(f"{form!r} is none of {', '.join((*FORMATS, 'json'))}", param_hint="--format")
    rows = warehouse.query(data or Path("data"), sql)
    if as_json or form == "json":
        _print_json(rows.to_pylist())
    else:
        click.echo(FORMATS[form](rows))


@cli.command()
@click.option("--older-than-days", type=int, required=True, help="Runs that began so many days ago, or earlier.")
@data_option
@as_json
def prune(older_than_days: int, data: Path | None, as_json: bool) -> None:
    """Drop single requests and seconds of old runs from the results file; summaries and Parquet files stay."""
    from datetime import UTC, datetime, timedelta

    from shapebench import warehouse

    dropped = warehouse.prune(data or Path("data"), datetime.now(UTC) - timedelta(days=older_than_days))
    if as_json:
        _print_json({"dropped_rows": dropped})
    else:
        click.echo(f"{dropped:,} rows dropped.")


@cli.command()
@click.argument("spec_file", metavar="[SPEC.yaml]", required=False, type=click.Path(path_type=Path))
@endpoint_options
@data_option
@click.option("--set-aside", is_flag=True, help="First rename a results file that cannot be read.")
@as_json
def doctor(spec_file: Path | None, set_aside: bool, as_json: bool, **flags: Any) -> None:
    """Tell what is wrong with a set-up, and what to do about it."""
    from shapebench import warehouse

    if set_aside:
        click.echo(f"It is now {warehouse.set_aside(flags['data'] or Path('data'))}.", err=True)
    checks = _above("terminal.doctor")
    named = spec_file is not None or flags["url"] is not None
    spec = _spec(spec_file, flags) if named else None
    found = checks.examine(spec, spec.data if spec else flags["data"] or Path("data"))
    if as_json:
        _print_json(found)
    else:
        checks.show(found)
    if any(check.ok is False for check in found):
        raise click.exceptions.Exit(1)


if __name__ == "__main__":
    main()
