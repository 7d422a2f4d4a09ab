"""Arrival times of bytes: the kernel's timestamps on Linux, elsewhere the moment at which they were read.

The kernel hands out the arrival of the last segment that a receive took from the socket (SO_TIMESTAMPING, see Linux'
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
    unstamped: int = 0  # receives for which the kernel had no stamp, so that the time of reading stands in

    def __post_init__(self) -> None:
        if self.kernel:
            _keep_stamping()

    @property
    def source(self) -> Literal["kernel", "user"]:
        """The source of all of them: "kernel", or "user" where even one was not the kernel's."""
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
    """Keep a socket that asks for timestamps: the kernel begins some time after the first, and ends with the last."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as keeper:
        with suppress(OSError):
            keeper.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, RX_SOFTWARE_AND_REPORT)
        return keeper.detach()


class ClockWatch:
    """A watch that notices when CLOCK_REALTIME is set, by comparing it with the clock that nobody can set."""

    def __init__(self) -> None:
        self._offset_ns = self._offset()
        self.step_s = 0.0  # the greatest so far, forwards or backwards

    @staticmethod
    def _offset() -> int:
        """Take the quickest of three readings: a process that is suspended between the clocks finds them apart."""
        readings = ((time.monotonic_ns(), clock_ns(), time.monotonic_ns()) for _ in range(3))
        before, now, after = min(readings, key=lambda reading: reading[2] - reading[0])
        return now - (before + after) // 2

    def look(self) -> None:
        """Compare with the last look: between two, slewing (at most 0.05 %) changes next to nothing."""
        before, self._offset_ns = self._offset_ns, self._offset()
        self.step_s = max(self.step_s, abs(self._offset_ns - before) / 1e9)
