"""One level against one endpoint, without Prefect and without a database."""

import logging
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from shapebench.analysis import level_samples
from shapebench.analysis.measured_level import summarise_level
from shapebench.analysis.sample_reader import Samples
from shapebench.analysis.summary import metrics_object
from shapebench.analysis.timeline import timeline
from shapebench.apis.profile import ServerProfile
from shapebench.errors import ShapebenchError
from shapebench.load.calibration import calibrate
from shapebench.load.counters import Progress
from shapebench.load.run_level import measure_level
from shapebench.probe.host import detect_shape
from shapebench.probe.probe import probe
from shapebench.runs.records import LevelRun
from shapebench.runs.run_file import begin
from shapebench.spec import metric_definitions
from shapebench.spec.model import Spec

logger = logging.getLogger("shapebench")


class NotMeasuredError(ShapebenchError):
    """The level was not measured to its end."""


def measure_single_level(spec: Spec, samples: Path | None, *, quiet: bool = False) -> dict[str, Any]:
    """Measure a spec's one level as `measure --json` prints it; raises EndpointError, NotMeasuredError."""
    _log_to_stderr(logging.ERROR if quiet else logging.INFO)
    if samples:
        return _measure(spec, samples)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            return _measure(spec, Path(scratch))
        except KeyboardInterrupt:
            raise NotMeasuredError(
                "Stopped; the samples were discarded.", "Use --samples FOLDER to keep them."
            ) from None


def _measure(spec: Spec, folder: Path) -> dict[str, Any]:
    run = begin(detect_shape(spec.model_copy(update={"data": folder})))
    facts = probe(run.spec)
    calibration = calibrate(spec.load.levels[0], spec.load.processes, try_out=spec.load.calibrate)
    return _result(measure_level(run, facts, calibration, _show_progress), facts.server_profile)


def _log_to_stderr(level: int) -> None:
    """Log what the probe waits for."""
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(level)


def _result(level: LevelRun, profile: ServerProfile | None = None) -> dict[str, Any]:
    if level.error:
        raise NotMeasuredError(level.error, "Measure again; an incomplete level is not a valid measurement.")
    summary = summarise_level(level)
    return {
        "concurrency": level.concurrency,
        "completed": summary.completed,
        "failed": summary.failed,
        "timestamps": level.timestamps,
        "token_counts": summary.token_counts,
        "token_source": summary.token_source,
        "wall_s": level.wall_s,
        **metrics_object([*summary.metrics, *summary.withheld]),
        "withheld": [metric_definitions.column_name(row.metric, row.stat) for row in summary.withheld],
        "errors": _errors(summary.samples),
        "timeline": [] if summary.samples is None else timeline(summary.samples).round(4).to_dict("records"),
        "client": level.client,
        "calibration": asdict(level.calibration) if level.calibration else None,
        "server_profile": asdict(profile) if profile else None,
    }


def _errors(samples: Samples | None) -> dict[str, int]:
    if samples is None:
        return {}
    return {str(kind): count for kind, count in level_samples.measured(samples)["error_kind"].value_counts().items()}


def _show_progress(progress: Progress) -> None:
    if sys.stderr.isatty() and logger.isEnabledFor(logging.INFO):
        done = progress.completed + progress.failed
        print(f"\r{done}/{progress.planned or '?'}  {progress.tokens_per_s:.0f} tokens/s ", end="", file=sys.stderr)


SHOWN_STATS = ("mean", "p50", "p95", "p99", "max")


def print_level(result: dict[str, Any]) -> None:
    """Print a result as text: totals as lines, distributions as a table."""
    console = Console()
    facts = ("concurrency", "completed", "failed", "timestamps", "token_counts", "token_source")
    names = (*facts, *(m.name for m in metric_definitions.TOTALS))
    width = max(map(len, names)) + 2
    for name in names:
        console.print(f"{name:<{width}}{_plain(result[name])}", highlight=False)
    table = Table("", *SHOWN_STATS, box=None)
    table.columns[0].no_wrap = True
    for m in metric_definitions.DISTRIBUTIONS:
        table.add_row(m.name, *(_plain(result[m.name][stat]) for stat in SHOWN_STATS))
    console.print(table)


def _plain(value: object) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
