"""The simulator in a process of its own, for the demo and for tests."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shapebench.errors import ShapebenchError

_STOP_TIMEOUT_S = 5.0


@contextmanager
def running(preset: str = "a10-llama-3.2-3b", log: Path | None = None, api_key: str | None = None) -> Iterator[str]:
    """The base URL of a simulator on a free port; it stops at the end, and when this process dies."""
    with subprocess.Popen(
        [sys.executable, "-m", "shapebench.simulator", *_options(preset, log, api_key)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield _url(process)
        finally:
            _stop(process)


def _options(preset: str, log: Path | None, api_key: str | None) -> list[str]:
    options = ["--preset", preset, "--port", "0", "--stop-at-eof"]
    options += [] if log is None else ["--log", str(log)]
    return options + ([] if api_key is None else ["--api-key", api_key])


def _url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise ShapebenchError(
            f"The simulator ended before it was ready, with status {process.wait()}",
            "Its own message is above; `python -m shapebench.simulator --help` lists the options.",
        )
    return line.split()[3]


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
