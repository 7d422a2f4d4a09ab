"""Main flow from a terminal: a live bar for each level, then the verdict."""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, ProgressColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from cli.local_prefect import own_server
from flows.prefect_settings import set_defaults
from shapebench.analysis.capacity.wording import row_sentences
from shapebench.errors import ShapebenchError
from shapebench.load.counters import Progress
from shapebench.load.progress import format_done, listening, share
from shapebench.results import database, views
from shapebench.runs.run_file import RunFile
from shapebench.spec.model import Spec

if TYPE_CHECKING:
    from flows.benchmark import Outcome

STAGES, STAGES_WITHOUT_BARS = (
    ("begin", "resume", "probe", "search"),
    ("calibrate", "measure"),
)  # shown


@dataclass(frozen=True)
class FlowResult:
    """End of the flow; `outcome` is None where there is no verdict."""

    outcome: "Outcome | None"
    failed: bool
    message: str


def run_benchmark(spec: Spec, console: Console, *, earlier: RunFile | None = None, verbose: bool = False) -> FlowResult:
    """Run the benchmark flow here, with bars on `console`, or with all log lines where `verbose`.

    `earlier` is a run with this spec to resume.
    """
    with starting(console, verbose=verbose):
        from flows.benchmark import Outcome, benchmark
        from shapebench.report.pages.kit import warm_up

        warm_up()
    if not verbose:
        log_to(console, *STAGES, *(() if console.is_terminal else STAGES_WITHOUT_BARS))
    with nullcontext() if verbose else _bars(spec, earlier, console):
        state = benchmark(spec, earlier.run.run_id if earlier else "", return_state=True)
    result = getattr(state.data, "result", state.data)
    if isinstance(result, Outcome):
        return FlowResult(result, state.is_failed(), state.message or "")
    if isinstance(result, BaseException) and not isinstance(result, ShapebenchError):
        raise result  # a defect of ours, or of the machine: the traceback is worth seeing
    return FlowResult(None, True, str(result or state.message))


@contextmanager
def starting(console: Console, *, verbose: bool) -> Iterator[None]:
    """Set Prefect up for one flow run of this process; its server starts while the block imports the flow."""
    set_defaults()
    if verbose:
        os.environ["PREFECT_LOGGING_LEVEL"] = "INFO"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the server that was started for the run would stay
    with console.status("Starting Prefect"):
        wait_for_server = own_server.start()
        yield
        wait_for_server()


def log_to(console: Console, *stages: str) -> None:
    """Print the log lines of these stages, and none of Prefect's."""
    logging.getLogger("shapebench").propagate = False  # Prefect's console would write across the bars
    handler = RichHandler(console=console, show_path=False, show_level=False)
    for stage in stages:
        logging.getLogger(f"shapebench.{stage}").addHandler(handler)


@contextmanager
def _bars(spec: Spec, earlier: RunFile | None, console: Console) -> Iterator[None]:
    """Show a bar for each level; a search adds levels as it goes."""
    with Bars(*_columns(), console=console) as bars:

        @cache
        def bar(concurrency: int) -> TaskID:
            return bars.add_task(_streams(concurrency), total=1.0, done="", rate="", start=False)

        for concurrency in () if spec.search else spec.load.levels:
            bar(concurrency)
        for known in earlier.measured if earlier else ():
            requests = str(known.planned_requests)
            bars.update(bar(known.concurrency), completed=1.0, done=requests, rate="measured before")

        def show(concurrency: int, progress: Progress) -> None:
            bars.start_task(bar(concurrency))  # its clock starts with the first call
            fraction = share(progress, spec.load.duration_at(concurrency))
            bars.update(bar(concurrency), completed=fraction, done=format_done(progress), rate=_rate(progress))

        with listening(show):
            yield


def _columns() -> tuple[ProgressColumn, ...]:
    done, rate = TextColumn("{task.fields[done]:>11}"), TextColumn("{task.fields[rate]}")
    return TextColumn("{task.description:>12}"), BarColumn(30), done, rate, TimeElapsedColumn()


def _streams(concurrency: int) -> str:
    return f"{concurrency} stream{'s' if concurrency > 1 else ''}"


def _rate(progress: Progress) -> str:
    ttft = f"TTFT {1000 * progress.ttft_s:>4.0f} ms" if progress.ttft_s is not None else "warming up  "
    failed = f"  [red]{progress.failed} failed[/red]" if progress.failed else ""
    return f"{progress.tokens_per_s:>6.0f} tokens/s  {ttft}{failed}"


def result_object(spec: Spec, outcome: "Outcome") -> dict[str, object]:
    """Build what `run --json` prints of a finished run."""
    levels = views.read_levels(spec.data, "level_summary", outcome.run_id)
    run = views.read_run(spec.data, outcome.run_id)
    return {
        "run_id": outcome.run_id,
        "verdict": outcome.verdict.status,
        "headline": outcome.conclusion.headline,
        "sentences": list(outcome.conclusion.sentences),
        "findings": [asdict(finding) for finding in outcome.verdict.failed],
        "levels": levels.astype(object).where(levels.notna(), None).to_dict("records"),
        "slos": database.query(spec.data, SLOS, [outcome.run_id]).to_pylist(),
        "database": str(outcome.database),
        "report": str(outcome.report),
        "published": [asdict(artifact) for artifact in outcome.published],
        "publish_error": outcome.publish_error,
        "resumes": run["resumes"],
        "skipped_levels": run["skipped_levels"],
        "server_profile": run["facts"].get("server_profile"),
    }


SLOS = "SELECT concurrency, slo, value, low, high, margin, passes FROM slos WHERE run_id = ?"


def search_sentences(spec: Spec, run_id: str) -> list[str]:
    """Describe the result of a capacity search, if the run was one."""
    rows = views.read_searches(spec.data, run_id)
    return [sentence for row in rows for sentence in row_sentences(row)]


def print_result(spec: Spec, outcome: "Outcome", console: Console) -> None:
    """Print the levels, the verdict and where the results are."""
    console.print(_table(views.read_levels(spec.data, "level_summary", outcome.run_id)))
    console.print(f"\n[bold]{outcome.conclusion.headline}[/bold]", highlight=False)
    for sentence in (*search_sentences(spec, outcome.run_id), *outcome.conclusion.sentences):
        console.print(f"  {sentence}", highlight=False)
    for finding in outcome.verdict.failed:
        streams = _streams(finding.concurrency)
        console.print(f"  [yellow]{finding.severity}[/yellow] at {streams}: {finding.sentence}", highlight=False)
    published = outcome.published[0].url.rsplit("/", 1)[0] if outcome.published else "nowhere"
    places = {"Report": outcome.report, "Database": outcome.database, "Published": published}
    console.print()
    stored = views.read_run(spec.data, outcome.run_id)
    run = {"Run": outcome.run_id, **_interruption_texts(stored["resumes"], stored["skipped_levels"])}
    for name, place in {**run, "Verdict": outcome.verdict.status, **places}.items():
        console.print(f"{name + ':':<11}{place}", highlight=False, soft_wrap=True)


def _interruption_texts(resumes: int, skipped_levels: list[int]) -> dict[str, str]:
    """Describe the interruptions of a run; empty if there were none."""
    resumed = {"Resumed": "once" if resumes == 1 else f"{resumes} times"} if resumes else {}
    return resumed | ({"Skipped": f"concurrency {', '.join(map(str, skipped_levels))}"} if skipped_levels else {})


COLUMNS = {
    "streams": ("concurrency", 1, ".0f"),
    "done": ("completed", 1, ".0f"),
    "failed": ("failed", 1, ".0f"),
    "system\ntok/s": ("system_tokens_per_s", 1, ",.0f"),
    "query\ntok/s": ("query_tokens_per_s_mean", 1, ".1f"),
    "TTFT\nmean ms": ("ttft_s_mean", 1000, ",.0f"),
    "TTFT\np95 ms": ("ttft_s_p95", 1000, ",.0f"),
    "token gap\np50 ms": ("inter_token_s_p50", 1000, ",.1f"),
}
REASONING_COLUMNS = {
    "answer\nmean ms": ("time_to_first_answer_s_mean", 1000, ",.0f"),
    "reasoning\ntokens": ("reasoning_tokens_mean", 1, ",.0f"),
}


def _table(levels: pd.DataFrame) -> Table:
    reasoned = levels["reasoning_tokens_max"].fillna(0).gt(0).any()
    columns = COLUMNS | (REASONING_COLUMNS if reasoned else {})
    table = Table(*columns, "verdict", box=None, header_style="dim")
    for column in table.columns[:-1]:
        column.justify = "right"
    for row in levels.to_dict("records"):
        numbers = [_number(row[name], scale, form) for name, scale, form in columns.values()]
        table.add_row(*numbers, row["verdict"])
    return table


def _number(value: float, scale: float, form: str) -> str:
    return "-" if pd.isna(value) else format(value * scale, form)
