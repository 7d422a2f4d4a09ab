"""Processes that outlive the command that started them, and are found again by a mark in their environment.

A mark is inherited by what they start in turn and dies with them, so that it is never out of date as a file with a
number may be: after a crash it still tells ours from all others.
"""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "SHAPEBENCH_UP"
STOP_TIMEOUT_S = 20
LOG_LINES = 15


@dataclass(frozen=True)
class Service:
    """What to run, and where its log goes."""

    name: str
    command: list[str]
    home: Path

    @property
    def log(self) -> Path:
        return self.home / f"{self.name}.log"

    @property
    def processes(self) -> list[psutil.Process]:
        """Those of this service that run, and those that they have started."""
        mark = f"{self.name} {self.home}"
        return [process for process in psutil.process_iter() if _environment(process).get(MARK) == mark]

    @property
    def runs(self) -> bool:
        return any(self.command[1:] == _command(process)[1:] for process in self.processes)

    def start(self, environment: dict[str, str], folder: Path) -> "subprocess.Popen[bytes]":
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command,
                env=os.environ | environment | {MARK: f"{self.name} {self.home}"},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def log_end(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  | {line}" for line in lines[-LOG_LINES:])

    def stop(self) -> int:
        """End all its processes; gives how many there were.

        Flow runs, which the worker has started, come first: they keep what they measured, and tell the server. What
        they have started is theirs to end; whatever is left ends last.
        """
        found = self.processes
        top = [process for process in found if _parent(process) not in found]
        runs = [process for process in found if _parent(process) in top]
        for end in (runs, top, found):
            _each(end, psutil.Process.terminate)
            psutil.wait_procs(end, STOP_TIMEOUT_S)
        _each(found, psutil.Process.kill)
        psutil.wait_procs(found, STOP_TIMEOUT_S)
        return len(found)


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):  # gone, or another user's
        return {}


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _parent(process: psutil.Process) -> psutil.Process | None:
    try:
        return process.parent()
    except psutil.Error:
        return None


def _each(processes: list[psutil.Process], act: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        try:
            act(process)
        except psutil.NoSuchProcess:
            continue
