"""Arrival times of bytes: the kernel's timestamps on Linux, elsewhere the time of the read.

The kernel returns the arrival of the last segment that a receive took from the socket (SO_TIMESTAMPING, see Linux'
Documentation/networking/timestamping.rst), on the clock of `clock_ns`; no privilege is needed.
"""

import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Literal

clock_ns = time.time_ns  # CLOCK_REALTIME, the clock of the kernel's stamps

SO_TIMESTAMPING = 37
RX_SOFTWARE_AND_REPORT = 1 << 3 | 1 << 4
RECEIVE_BYTES = 2048  # a chunk has some hundred; more room costs time in each receive
ANCILLARY_BYTES = 128

_timespec = struct.Struct("qq").unpack_from

Receive = Callable[[], tuple[bytes, int]]  # what arrived and when (ns); raises what recv raises


@dataclass
class Stamps:
    """The timestamps of a level's receives, and whether all came from the kernel."""

    kernel: bool = sys.platform == "linux"
    last_ns: int = 0  # the latest
    unstamped: int = 0  # receives for which the kernel had no stamp, so the time of the read is used

    def __post_init__(self) -> None:
        if self.kernel:
            _keep_stamping()

    @property
    def source(self) -> Literal["kernel", "user"]:
        """Source of all timestamps: "kernel", or "user" if any of them is not the kernel's."""
        return "kernel" if self.kernel and not self.unstamped else "user"

    def receiver(self, line: socket.socket) -> Receive:
        """Return a function that receives from a socket, with timestamps switched on."""
        if not self.kernel:
            return lambda: (line.recv(RECEIVE_BYTES), clock_ns())
        try:
            line.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, RX_SOFTWARE_AND_REPORT)
        except OSError:  # a Linux without them, as some sandboxes are
            self.kernel = False
            return self.receiver(line)
        return self._kernel_receiver(line)

    def _kernel_receiver(self, line: socket.socket) -> Receive:
        recvmsg = line.recvmsg

        def receive() -> tuple[bytes, int]:
            data, ancillary, _, _ = recvmsg(RECEIVE_BYTES, ANCILLARY_BYTES)
            if ancillary:
                seconds, nanoseconds = _timespec(ancillary[0][2])
                self.last_ns = arrival_ns = seconds * 1_000_000_000 + nanoseconds
                return data, arrival_ns
            if data:
                self.unstamped += 1
            return data, clock_ns()

        return receive


@cache
def _keep_stamping() -> int:
    """Keep a socket with timestamps open: the kernel starts stamping with a delay, and stops with the last socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as keeper:
        with suppress(OSError):
            keeper.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, RX_SOFTWARE_AND_REPORT)
        return keeper.detach()


class ClockWatch:
    """Detector of steps of CLOCK_REALTIME, by comparison with the monotonic clock."""

    def __init__(self) -> None:
        self._offset_ns = self._offset()
        self.step_s = 0.0  # the greatest so far, forwards or backwards

    @staticmethod
    def _offset() -> int:
        """Return the quickest of three readings, since a process may be suspended between the two clocks."""
        readings = ((time.monotonic_ns(), clock_ns(), time.monotonic_ns()) for _ in range(3))
        before, now, after = min(readings, key=lambda reading: reading[2] - reading[0])
        return now - (before + after) // 2

    def look(self) -> None:
        """Compare with the last reading: in between, slewing (at most 0.05 %) is negligible."""
        before, self._offset_ns = self._offset_ns, self._offset()
        self.step_s = max(self.step_s, abs(self._offset_ns - before) / 1e9)
