"""The odd server as a subprocess."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shapebench.test_servers.odd.oddities import USUAL, Oddities
from shapebench.test_servers.odd.options import as_words
from shapebench.test_servers.process import running_server


@contextmanager
def running_odd_server(oddities: Oddities = USUAL, log: Path | None = None, cert: Path | None = None) -> Iterator[str]:
    """Start an odd server on a free port and yield its base URL; it ends with the block or this process.

    `cert` is a PEM file with a certificate and its key.
    """
    options = [*as_words(oddities), *(["--log", str(log)] if log else []), *(["--cert", str(cert)] if cert else [])]
    with running_server("shapebench.test_servers.odd", options) as url:
        yield url
