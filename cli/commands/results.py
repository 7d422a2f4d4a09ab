"""Reads, fills and trims the results file."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pyarrow as pa

from cli.options import as_json, data_option
from cli.output import print_json
from cli.print_table import FORMATS
from shapebench.results import database, exports
from shapebench.results.imports.taken import take
from shapebench.runs import resume


@click.command("runs")
@click.option("--unfinished", is_flag=True, help="Runs that are not in the database: interrupted or in progress.")
@data_option
@as_json
def list_runs(data: Path | None, unfinished: bool, as_json: bool) -> None:
    """List the runs in the database, newest first."""
    if unfinished:
        _list_unfinished(data or Path("data"), as_json)
        return
    sql = "SELECT run_id, started_at, model, shape, levels, verdict, headline FROM runs ORDER BY started_at DESC"
    _answer(data, sql, as_json)


def _list_unfinished(data: Path, as_json: bool) -> None:
    there = (data / database.FILE_NAME).exists()
    stored = database.query(data, "SELECT run_id FROM runs")["run_id"].to_pylist() if there else []
    _print(pa.Table.from_pylist(resume.unfinished(data, stored)), "json" if as_json else "table")


@click.command()
@click.argument("sql", metavar="VIEW|SQL")
@data_option
@click.option("--format", "form", default="table", show_default=True, help="table, csv, markdown or json.")
@as_json
def query(sql: str, data: Path | None, form: str, as_json: bool) -> None:
    """Print a view or the answer to a SQL query."""
    _answer(data, f"FROM {sql}" if sql.isidentifier() else sql, as_json, form)


def _answer(data: Path | None, sql: str, as_json: bool, form: str = "table") -> None:
    if form not in (*FORMATS, "json"):
        raise click.BadParameter(f"{form!r} is not one of {', '.join((*FORMATS, 'json'))}", param_hint="--format")
    _print(database.query(data or Path("data"), sql), "json" if as_json else form)


def _print(rows: pa.Table, form: str) -> None:
    if form == "json":
        print_json(rows.to_pylist())
    else:
        click.echo(FORMATS[form](rows))


@click.command("import")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--shape", help="The machine that served, such as VM.GPU.A10.1. [default: the one that the files name, or unknown]"
)
@data_option
@as_json
def import_results(paths: tuple[Path, ...], shape: str | None, data: Path | None, as_json: bool) -> None:
    """Import what another tool measured, from files and folders.

    Read are results of LLMPerf, vllm bench serve, SGLang's bench_serving, InferenceX, GuideLLM, AIPerf, GenAI-Perf,
    genai-bench and inference-perf.
    """
    imported = take(list(paths), data or Path("data"), shape)
    if as_json:
        print_json(imported)
        return
    for run in imported:
        version = f" {run.tool_version}" if run.tool_version else ""
        levels = ", ".join(map(str, run.levels))
        click.echo(f"{run.run_id}  {run.tool}{version}  {run.model} on {run.shape}  concurrency {levels}")


@click.command()
@click.argument("run_id")
@click.option("--format", "form", required=True, help="llmperf, parquet or csv.")
@click.option("--to", type=Path, metavar="DIR", help="Where to write. [default: DATA/exports/RUN_ID/FORMAT]")
@data_option
@as_json
def export(run_id: str, form: str, to: Path | None, data: Path | None, as_json: bool) -> None:
    """Write a run as LLMPerf's files, or its tables as Parquet or CSV."""
    if form not in exports.FORMATS:
        raise click.BadParameter(f"{form!r} is not one of {', '.join(exports.FORMATS)}", param_hint="--format")
    files = exports.export(data or Path("data"), run_id, form, to)
    if as_json:
        print_json({"run_id": run_id, "format": form, "files": [str(file) for file in files]})
    else:
        for file in files:
            click.echo(file)


@click.command()
@click.option("--older-than-days", type=int, required=True, help="Prune runs that are older than this.")
@data_option
@as_json
def prune(older_than_days: int, data: Path | None, as_json: bool) -> None:
    """Drop single requests and seconds of old runs from the results file; summaries and Parquet files stay."""
    dropped = database.prune(data or Path("data"), datetime.now(UTC) - timedelta(days=older_than_days))
    if as_json:
        print_json({"dropped_rows": dropped})
    else:
        click.echo(f"{dropped:,} rows dropped.")
