"""Processes that outlive the command that started them, and are found again by a mark in their environment.

A mark is inherited by their own children and dies with them, so it is never out of date, as a file with a process id
may be: after a crash it still identifies our processes.
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
    """Command that runs in the background, and its log."""

    name: str
    command: list[str]
    home: Path

    @property
    def log(self) -> Path:
        return self.home / f"{self.name}.log"

    @property
    def processes(self) -> list[psutil.Process]:
        """Running processes of this service, and their children."""
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
        """End all its processes; return how many there were.

        Flow runs, which the worker has started, come first: they save what they measured and report to the server.
        They end what they have started themselves; whatever is left ends last.
        """
        processes = self.processes
        top = [process for process in processes if _parent(process) not in processes]
        runs = [process for process in processes if _parent(process) in top]
        for end in (runs, top, processes):
            _each(end, psutil.Process.terminate)
            psutil.wait_procs(end, STOP_TIMEOUT_S)
        _each(processes, psutil.Process.kill)
        psutil.wait_procs(processes, STOP_TIMEOUT_S)
        return len(processes)


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
