"""The reference server as a subprocess."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shapebench.test_servers.process import running_server


@contextmanager
def running_reference_server(
    ttft_s: float = 0.2, gap_s: float = 0.02, jitter: float = 0.0, log: Path | None = None, metrics: Path | None = None
) -> Iterator[str]:
    """Start a reference server on a free port and yield its base URL; it ends with the block or this process."""
    options = ["--ttft-s", str(ttft_s), "--gap-s", str(gap_s), "--jitter", str(jitter)]
    options += [] if log is None else ["--log", str(log)]
    options += [] if metrics is None else ["--metrics", str(metrics)]
    with running_server("shapebench.test_servers.reference", options) as url:
        yield url
