"""A test server as a subprocess, for the demo, the calibration and tests."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from shapebench.errors import ShapebenchError

_STOP_TIMEOUT_S = 5.0


@contextmanager
def running_server(module: str, options: Sequence[str]) -> Iterator[str]:
    """Start a server and yield its base URL, which is the fourth word of the line it prints when it is ready."""
    with subprocess.Popen(
        [sys.executable, "-m", module, "--port", "0", "--stop-at-eof", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield _url(process, module)
        finally:
            _stop(process)


def _url(process: subprocess.Popen[str], module: str) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise ShapebenchError(
            f"`python -m {module}` ended before it was ready, with status {process.wait()}.",
            "Its own message is above; `--help` lists the options.",
        )
    return line.split()[3]


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
