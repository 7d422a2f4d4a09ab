"""The loop of a process that measures: calls whoever waits for a socket, with little between a token and its receive.

No coroutines: a receive costs a call, not a task switch, which would be most of what a token costs beside the kernel.
"""

import heapq
import itertools
import select
import selectors
import time
from collections import deque
from collections.abc import Callable

Callback = Callable[[], object]

READ, WRITE = select.POLLIN, select.POLLOUT
MOST_EVENTS = 1024  # of one turn
LONGEST_WAIT_S = 0.05


class Reactor:
    """Watches sockets from one thread; handlers must not block, and say when they are no longer wanted."""

    def __init__(self) -> None:
        self._poller = select.epoll() if hasattr(select, "epoll") else _Selector()
        self._handlers: dict[int, Callback] = {}
        self._soon: deque[Callback] = deque()
        self._timers: list[tuple[float, int, Callback]] = []
        self._order = itertools.count()  # of timers that are due at once
        self._stopped = False
        self.turn: Callable[[float], object] = lambda _: None  # told how long each turn took (s): nobody was heard then

    def watch(self, fd: int, handler: Callback, *, write: bool = False) -> None:
        """Call `handler` whenever the socket can be read, or where asked for written."""
        change = self._poller.modify if fd in self._handlers else self._poller.register
        change(fd, READ | WRITE if write else READ)
        self._handlers[fd] = handler

    def unwatch(self, fd: int) -> None:
        """To be called before the socket is closed."""
        if self._handlers.pop(fd, None):
            self._poller.unregister(fd)

    def soon(self, callback: Callback) -> None:
        """Call once in this turn, after what has arrived is read.

        Sockets are opened here only: a number that was closed and opened again within the reading would get events
        meant for its predecessor.
        """
        self._soon.append(callback)

    def later(self, delay_s: float, callback: Callback) -> None:
        """Call once, after so long or a little more."""
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._order), callback))

    def every(self, period_s: float, callback: Callback) -> None:
        """Call about so often."""

        def again() -> None:
            self.later(period_s, again)
            callback()

        self.later(period_s, again)

    def stop(self) -> None:
        """End `run` after this turn, or before its first one."""
        self._stopped = True

    def run(self, in_between: Callable[[], bool] = lambda: False) -> None:
        """Work until stopped; `in_between` does a little of what can wait, and says whether there is more of it."""
        poll, handlers, soon = self._poller.poll, self._handlers, self._soon
        wait_s = 0.0
        while not self._stopped:
            ready, woken_s = poll(wait_s, MOST_EVENTS), time.monotonic()
            for fd, _ in ready:
                if handler := handlers.get(fd):
                    handler()
            while soon:
                soon.popleft()()
            more = in_between()
            idle_s = self._call_due()
            self.turn(time.monotonic() - woken_s)
            wait_s = 0.0 if more or soon else idle_s
        self._stopped = False

    def _call_due(self) -> float:
        """Call what is due; gives how long there is nothing (s)."""
        timers, now_s = self._timers, time.monotonic()
        while timers and timers[0][0] <= now_s:
            heapq.heappop(timers)[2]()
        return min(max(timers[0][0] - now_s, 0.0), LONGEST_WAIT_S) if timers else LONGEST_WAIT_S

    def close(self) -> None:
        self._poller.close()


class _Selector:
    """What epoll does, for platforms without it."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.unregister = self._selector.unregister
        self.close = self._selector.close

    def register(self, fd: int, events: int) -> None:
        self._selector.register(fd, self._masked(events))

    def modify(self, fd: int, events: int) -> None:
        self._selector.modify(fd, self._masked(events))

    @staticmethod
    def _masked(events: int) -> int:
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if events & WRITE else 0)

    def poll(self, timeout_s: float, _most: int) -> list[tuple[int, int]]:
        return [(key.fd, 0) for key, _ in self._selector.select(timeout_s)]
