"""The simulator in a process of its own, for the demo and for tests."""

import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shapebench.errors import ShapebenchError

_STOP_TIMEOUT_S = 5.0


@contextmanager
def running(
    preset: str = "a10-llama-3.2-3b",
    log: Path | None = None,
    api_key: str | None = None,
    faults: Iterable[str] = (),
    settings: Iterable[str] = (),
) -> Iterator[str]:
    """The base URL of a simulator on a free port; it stops at the end, and when this process dies.

    Faults and settings are words, such as `refused=0.1` and `max_num_seqs=8`.
    """
    options = ["--preset", preset]
    options += [] if log is None else ["--log", str(log)]
    options += [] if api_key is None else ["--api-key", api_key]
    options += [f"--fault={word}" for word in faults]
    options += [f"--set={word}" for word in settings]
    with started("shapebench.test_servers.simulator", options) as url:
        yield url


@contextmanager
def started(module: str, options: Sequence[str]) -> Iterator[str]:
    """The base URL of a server that prints it as the fourth word of a line when it is ready."""
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
            f"The {module.rpartition('.')[2]} ended before it was ready, with status {process.wait()}",
            f"Its own message is above; `python -m {module} --help` lists the options.",
        )
    return line.split()[3]


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
