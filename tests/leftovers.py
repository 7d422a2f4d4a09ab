"""Processes that tests have started and not ended: found by a mark in their environment, which children inherit."""

import os
from collections.abc import Collection
from contextlib import suppress
from uuid import uuid4

import psutil

NAME = "STARTED_BY_TESTS"


def mark() -> None:
    """Mark all processes that this one starts from now on."""
    os.environ[NAME] = uuid4().hex


def started() -> set[psutil.Process]:
    """Processes that run and bear the mark, started by this one or by what it has started, orphans included."""
    ours = os.environ[NAME]
    return {process for process in psutil.process_iter() if _environment(process).get(NAME) == ours}


def end(processes: Collection[psutil.Process], within_s: float = 5) -> list[str]:
    """End processes, at first with the chance to tidy up; return the commands of those that ran."""
    commands = [" ".join(_command(process))[:200] for process in processes]
    for process in processes:
        _send(process, kill=False)
    _, still_there = psutil.wait_procs(processes, within_s)
    for process in still_there:
        _send(process, kill=True)
    psutil.wait_procs(still_there, within_s)
    return commands


def _send(process: psutil.Process, *, kill: bool) -> None:
    with suppress(psutil.NoSuchProcess):
        (process.kill if kill else process.terminate)()


def _environment(process: psutil.Process) -> dict[str, str]:
    """Its environment as it was started with; empty for one that has ended, or is not ours to read."""
    try:
        return process.environ() if process.pid != os.getpid() else {}
    except (psutil.Error, OSError):
        return {}


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
