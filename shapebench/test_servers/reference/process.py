"""The metronome in a process of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shapebench.test_servers.process import started


@contextmanager
def running(
    ttft_s: float = 0.2, gap_s: float = 0.02, jitter: float = 0.0, log: Path | None = None, metrics: Path | None = None
) -> Iterator[str]:
    """The base URL of a metronome on a free port; it stops at the end, and when this process dies."""
    options = ["--ttft-s", str(ttft_s), "--gap-s", str(gap_s), "--jitter", str(jitter)]
    options += [] if log is None else ["--log", str(log)]
    options += [] if metrics is None else ["--metrics", str(metrics)]
    with started("shapebench.test_servers.reference", options) as url:
        yield url
