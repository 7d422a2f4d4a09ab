"""The simulator as a subprocess."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shapebench.test_servers.process import running_server


@contextmanager
def running_simulator(
    preset: str = "a10-llama-3.2-3b",
    log: Path | None = None,
    api_key: str | None = None,
    faults: Iterable[str] = (),
    settings: Iterable[str] = (),
) -> Iterator[str]:
    """Start a simulator on a free port and yield its base URL; it stops at the end, or when this process dies.

    Faults and settings are words, such as `refused=0.1` and `max_num_seqs=8`.
    """
    options = ["--preset", preset]
    options += [] if log is None else ["--log", str(log)]
    options += [] if api_key is None else ["--api-key", api_key]
    options += [f"--fault={word}" for word in faults]
    options += [f"--set={word}" for word in settings]
    with running_server("shapebench.test_servers.simulator", options) as url:
        yield url
