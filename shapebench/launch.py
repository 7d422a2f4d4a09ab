"""Starts the server that a spec describes, keeps its log, and stops it whatever happens."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shapebench.endpoint import EndpointError

STOP_TIMEOUT_S = 30
LOG_LINES = 15


class LaunchDied(EndpointError):
    """The launched server ended instead of becoming healthy."""


@contextmanager
def launched(command: str | None, log: Path) -> Iterator[Callable[[], None]]:
    """Run the server while the block runs; gives a function that raises LaunchDied if it has ended."""
    if command is None:
        yield lambda: None
        return
    guard = [sys.executable, "-P", "-m", "shapebench.guard", *shlex.split(command)]
    with log.open("wb") as output:
        process = subprocess.Popen(guard, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield lambda: _raise_if_ended(process, command, log)
    finally:
        _stop(process)


def _raise_if_ended(process: "subprocess.Popen[bytes]", command: str, log: Path) -> None:
    if (code := process.poll()) is not None:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        raise LaunchDied(
            f"The launched server ended with code {code}: {command}\n" + "\n".join(f"  | {line}" for line in lines),
            f"Try the command by hand; its whole log is in {log}.",
        )


def _stop(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin
    process.stdin.close()  # the guard takes this as the end
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
