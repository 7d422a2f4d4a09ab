"""The kernel's time stamps are on before the tests that look at them."""

import socket
import time
from collections.abc import Iterator

import pytest

from shapebench.support.timestamps import Stamps


@pytest.fixture(scope="session", autouse=True)
def kernel_stamps() -> Iterator[None]:
    """It stamps while a socket asks for it, beginning some time after the first has."""
    stamps, end_s = Stamps(), time.monotonic() + 2
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        receive = stamps.receiver(line)
        stamps.unstamped = 1
        while stamps.kernel and stamps.unstamped and time.monotonic() < end_s:
            stamps.unstamped = 0
            line.sendto(b"x", line.getsockname())
            receive()
        yield
