"""The loop: what is due is sent, what has arrived is read, and in a quiet moment something else is done."""

import selectors
import socket
from collections.abc import Callable, Iterator
from heapq import heappop, heappush, heapreplace
from itertools import count

from shapebench.support.timestamps import clock_ns

Beats = Iterator[int | None]  # does its work from one yield to the next; yields when it is due again, None for never

_LONGEST_WAIT_S = 0.1  # a signal is noticed that late at most
_QUIET_S = 0.001


class Loop:
    """One thread. Times are of CLOCK_REALTIME, as are the kernel's receive time stamps."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._heap: list[tuple[int, int, Beats]] = []  # when, a number that breaks ties, what
        self._numbers = count()
        self._stopped = False

    def at(self, due_ns: int, beats: Beats) -> None:
        """Go on with these at that time."""
        heappush(self._heap, (due_ns, next(self._numbers), beats))

    def watch(self, line: socket.socket | int, handler: Callable[[], object], *, write: bool = False) -> None:
        """Call whenever there is something to read, or else room to write."""
        event = selectors.EVENT_WRITE if write else selectors.EVENT_READ
        known = line in self._selector.get_map()
        (self._selector.modify if known else self._selector.register)(line, event, handler)

    def unwatch(self, line: socket.socket | int) -> None:
        """To be called before it is closed."""
        self._selector.unregister(line)

    def stop(self) -> None:
        self._stopped = True

    def run(self, in_between: Callable[[], bool]) -> None:
        """Work until stopped; `in_between` does a little of what can wait, and says whether there was any of it."""
        while not self._stopped:
            wait_s = self._wait_s()
            if wait_s > _QUIET_S and in_between():
                wait_s = 0.0
            for key, _ in self._selector.select(wait_s):
                key.data()
            self._beat()

    def _wait_s(self) -> float:
        if not self._heap:
            return _LONGEST_WAIT_S
        return min(max(self._heap[0][0] - clock_ns(), 0) / 1e9, _LONGEST_WAIT_S)

    def _beat(self) -> None:
        """Go on with all that is due by now: what a token costs is spent here."""
        heap, now_ns = self._heap, clock_ns()
        while heap and heap[0][0] <= now_ns:
            _, number, beats = heap[0]
            if due_ns := next(beats, None):
                heapreplace(heap, (due_ns, number, beats))
            else:
                heappop(heap)
