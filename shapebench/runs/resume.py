"""Resume an interrupted run: measured levels are kept, a level that had begun is measured again."""

import os
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from shapebench.errors import ShapebenchError
from shapebench.runs import run_file
from shapebench.runs.records import Run
from shapebench.runs.run_file import RunFile
from shapebench.runs.samples_file import join
from shapebench.spec.model import Spec
from shapebench.support.file_lock import file_lock
from shapebench.support.run_log import milestone
from shapebench.support.wording import listed

LOCK = "run.lock"
ASIDE = "interrupted"
ASIDE_BEFORE = "broken-off"  # the same, in folders of earlier versions


class RunInProgressError(ShapebenchError):
    """Another process is measuring the run."""


class NothingMeasuredError(ShapebenchError):
    """No level of the run was completed."""


def find(data: Path, run_id: str | None, flow_run_id: str | None) -> RunFile | None:
    """Find the run to resume, by its id or its flow run's; raises RunNotFoundError, RunInProgressError."""
    named = run_id or (flow_run_id and of_flow_run(data, flow_run_id))
    if not named:
        return None
    content = run_file.load(data, named)
    with run_lock(content.run.folder):
        return content


def of_flow_run(data: Path, flow_run_id: str) -> str | None:
    """Return the id of the run that a Prefect flow run began."""
    mark = f'"flow_run_id": "{flow_run_id}"'.encode()  # text search: parsing thousands of files takes long
    files = sorted((data / "runs").glob("*/run.json"), reverse=True)
    return next((file.parent.name for file in files if mark in file.read_bytes()), None)


class UnfinishedRun(TypedDict):
    """A run of the data folder that is not in the results file."""

    run_id: str
    started_at: datetime
    model: str
    url: str
    state: str  # interrupted, in progress or not probed
    measured: list[int]
    to_measure: list[int]


def unfinished(data: Path, stored: Container[str]) -> list[UnfinishedRun]:
    """List the runs of the data folder that are not in the results file, newest first."""
    files = sorted((data / "runs").glob("*/run.json"), reverse=True)
    return [_as_row(run_file.load(data, file.parent.name)) for file in files if file.parent.name not in stored]


def _as_row(content: RunFile) -> UnfinishedRun:
    run = content.run
    return {
        "run_id": run.run_id,
        "started_at": run.started_at,
        "model": run.spec.endpoint.model,
        "url": run.spec.endpoint.url,
        "state": _state(content),
        "measured": [level.concurrency for level in content.measured],
        "to_measure": list(content.to_measure),
    }


def _state(content: RunFile) -> str:
    try:
        with run_lock(content.run.folder):
            return "interrupted" if content.facts else "not probed"
    except RunInProgressError:
        return "in progress"


@contextmanager
def in_progress(spec: Spec, earlier: RunFile | None, flow_run_id: str | None) -> Iterator[RunFile]:
    """Lock the earlier run, or a new one, while the block runs."""
    run = earlier.run if earlier else run_file.begin(spec, flow_run_id)
    with run_lock(run.folder):
        content = _prepared(run_file.load(spec.data, run.run_id)) if earlier else RunFile(run)
        run_file.save(content)
        yield content


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Lock a run against other processes on this machine; the kernel releases the lock when this process dies."""
    lock = folder / LOCK

    def refuse(_waited_s: float) -> None:
        holder = lock.read_text(encoding="utf-8") or "which has just resumed it"
        raise RunInProgressError(
            f"Run {folder.name} is being measured by a process on this machine, {holder}.",
            "Wait until it has ended, or stop it; measured levels are kept.",
        )

    with file_lock(lock, refuse):
        lock.write_text(f"number {os.getpid()}", encoding="utf-8")
        yield


def _prepared(content: RunFile) -> RunFile:
    """Set aside unfinished levels and note that the run resumes."""
    run, left = content.run, content.to_measure
    begun = _set_aside(run, left)
    if content.measured or begun:
        run = replace(run, resumed_at=(*run.resumed_at, datetime.now(UTC)))
    milestone(
        "resume",
        "resuming run {run_id}; measured before: {measured}; interrupted, measured again: {begun}",
        run_id=run.run_id,
        measured=listed((level.concurrency for level in content.measured), none="none"),
        begun=listed(begun, none="none"),
    )
    return replace(content, run=run, levels=content.measured)


def _set_aside(run: Run, levels: Iterable[int]) -> list[int]:
    """Rename the files of unfinished levels, so that nothing is lost or mixed up; returns the levels that had begun."""
    begun = [n for n in levels if _leftovers(run.samples_at(n))]
    for n in begun:
        tries = attempt(run, n)
        _join_parts(run.samples_at(n))
        for file in (run.samples_at(n), run.server_metrics_at(n)):
            if file.exists():
                file.rename(_aside(file, tries))
    if run.server_log.exists():
        run.server_log.rename(_aside(run.server_log, _tries(run.server_log)))
    return begun


def attempt(run: Run, concurrency: int) -> int:
    """Return the number of the next attempt at measuring a level."""
    return _tries(run.samples_at(concurrency))


def _tries(file: Path) -> int:
    names = (ASIDE, ASIDE_BEFORE)
    return 1 + sum(len([*file.parent.glob(f"{file.stem}.{name}-*{file.suffix}")]) for name in names)


def _leftovers(samples: Path) -> list[Path]:
    """List the samples file and its unfinished parts."""
    return [*samples.parent.glob(f"{samples.name}*")]


def _join_parts(samples: Path) -> None:
    """Join the streams of killed measuring processes into one readable file."""
    parts = [file for file in _leftovers(samples) if file.suffix == ".arrow"]
    if parts:
        join(parts, samples, {})
    for part in _leftovers(samples):
        if part != samples:
            part.unlink()


def _aside(file: Path, number: int) -> Path:
    return file.with_stem(f"{file.stem}.{ASIDE}-{number}")


def settle(data: Path, run_id: str, *, as_is: bool) -> RunFile:
    """Skip the levels that are not measured, or else plan them again.

    Raises RunInProgressError and NothingMeasuredError.
    """
    with run_lock(run_file.load(data, run_id).run.folder):
        content = _with_skipped(run_file.load(data, run_id), ())
        if as_is and not content.measured:
            raise NothingMeasuredError(
                f"No level of run {run_id} was completed.", f"`shapebench resume {run_id}` measures them."
            )
        content = _with_skipped(content, content.to_measure if as_is else ())
        run_file.save(content)
        return content


def _with_skipped(content: RunFile, levels: tuple[int, ...]) -> RunFile:
    return replace(content, run=replace(content.run, skipped_levels=levels))
