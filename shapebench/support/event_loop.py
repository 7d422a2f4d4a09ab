"""The event loop of the measuring processes and of the reference server: epoll, callbacks and timers only.

Without coroutines a receive costs a call instead of a task switch, which would dominate the cost of a token outside
the kernel.
"""

import heapq
import itertools
import select
import selectors
import time
from collections import deque
from collections.abc import Callable, Iterator

from shapebench.support.timestamps import clock_ns

Callback = Callable[[], object]
Work = Callable[[], bool]  # does a little of what can wait, and returns whether there is more of it
Steps = Iterator[int | None]  # works from one yield to the next; yields when it is due again (ns), or None: never

READ, WRITE = select.POLLIN, select.POLLOUT
MAX_EVENTS = 1024  # of one iteration
MAX_WAIT_S = 0.05  # a signal is noticed that late at most
IDLE_S = 0.001


class EventLoop:
    """Watches sockets from one thread; handlers must not block, and are called until `unwatch`."""

    def __init__(self) -> None:
        self._poller = select.epoll() if hasattr(select, "epoll") else _Selector()
        self._handlers: dict[int, Callback] = {}
        self._soon: deque[Callback] = deque()
        self._timers: list[tuple[float, int, Callback]] = []
        self._paced: list[tuple[int, int, Steps]] = []
        self._order = itertools.count()  # of what is due at the same time
        self._stopped = False
        self.on_iteration: Callable[[float], object] = lambda _: None  # gets the time in which no socket was read (s)

    def watch(self, fd: int, handler: Callback, *, read: bool = True, write: bool = False) -> None:
        """Call `handler` whenever the socket can be read or written, as requested."""
        change = self._poller.modify if fd in self._handlers else self._poller.register
        change(fd, READ * read | WRITE * write)
        self._handlers[fd] = handler

    def unwatch(self, fd: int) -> None:
        """Stop calling the handler; to be called before the socket is closed."""
        if self._handlers.pop(fd, None):
            self._poller.unregister(fd)

    def call_soon(self, callback: Callback) -> None:
        """Call once in this iteration, after all arrived data was read.

        Open sockets in such calls only: a file descriptor that is closed and opened again during the reading would get
        events of its predecessor.
        """
        self._soon.append(callback)

    def call_later(self, delay_s: float, callback: Callback) -> None:
        """Call once, after so long or a little more."""
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._order), callback))

    def call_every(self, period_s: float, callback: Callback) -> None:
        """Call about once in each period."""

        def again() -> None:
            self.call_later(period_s, again)
            callback()

        self.call_later(period_s, again)

    def stop(self) -> None:
        """End `run` after this iteration, or before its first one."""
        self._stopped = True

    def run_paced(self, due_ns: int, steps: Steps) -> None:
        """Run `steps` from a time of `clock_ns` on, each at the time that the one before yields.

        They must not start others.
        """
        heapq.heappush(self._paced, (due_ns, next(self._order), steps))

    def run(self, in_between: Work = lambda: False, when_idle: Work = lambda: False) -> None:
        """Work until stopped.

        `in_between` is called in each iteration, `when_idle` if nothing is due for a millisecond.
        """
        poll, handlers, soon = self._poller.poll, self._handlers, self._soon
        wait_s = 0.0
        while not self._stopped:
            ready, woken_s = poll(wait_s, MAX_EVENTS), time.monotonic()
            for fd, _ in ready:
                if handler := handlers.get(fd):
                    handler()
            while soon:
                soon.popleft()()
            more = in_between()
            idle_s = self._call_due()
            self.on_iteration(time.monotonic() - woken_s)
            wait_s = 0.0 if more or soon or (idle_s > IDLE_S and when_idle()) else idle_s
        self._stopped = False

    def _call_due(self) -> float:
        """Call what is due, and return the time until the next call (s)."""
        timers, now_s = self._timers, time.monotonic()
        while timers and timers[0][0] <= now_s:
            heapq.heappop(timers)[2]()
        idle_s = min(max(timers[0][0] - now_s, 0.0), MAX_WAIT_S) if timers else MAX_WAIT_S
        return min(idle_s, self._step_due()) if self._paced else idle_s

    def _step_due(self) -> float:
        """Run the steps that are due, and return the time until the next one (s)."""
        heap, now_ns = self._paced, clock_ns()
        while heap and heap[0][0] <= now_ns:
            _, number, steps = heap[0]
            if due_ns := next(steps, None):
                heapq.heapreplace(heap, (due_ns, number, steps))
            else:
                heapq.heappop(heap)
        return max(heap[0][0] - clock_ns(), 0) / 1e9 if heap else MAX_WAIT_S

    def close(self) -> None:
        self._poller.close()


class _Selector:
    """Replacement of epoll on other platforms."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.unregister = self._selector.unregister
        self.close = self._selector.close

    def register(self, fd: int, events: int) -> None:
        self._selector.register(fd, self._mask(events))

    def modify(self, fd: int, events: int) -> None:
        self._selector.modify(fd, self._mask(events))

    @staticmethod
    def _mask(events: int) -> int:
        return selectors.EVENT_READ * bool(events & READ) | selectors.EVENT_WRITE * bool(events & WRITE)

    def poll(self, timeout_s: float, _max_events: int) -> list[tuple[int, int]]:
        return [(key.fd, 0) for key, _ in self._selector.select(timeout_s)]
