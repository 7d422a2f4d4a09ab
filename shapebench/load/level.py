"""One level: a closed loop in which N streams are busy from the first request to the last."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shapebench.load.plan import LevelPlan
from shapebench.load.requests import writer
from shapebench.load.samples import Sample, sample, without_secret
from shapebench.load.wire import Answer, Connection
from shapebench.workload import Ask


@dataclass(frozen=True)
class Progress:
    """How far a level has come; the means are over the answers so far."""

    completed: int
    failed: int
    planned: int
    tokens_per_s: float
    ttft_s: float | None


class Level:
    """Drives one level; `samples` grows as answers come in, warm-up included."""

    def __init__(self, plan: LevelPlan, api_key: str | None) -> None:
        self._plan = plan
        self._api_key = api_key
        self._asks = _Prepared(plan, writer(plan.target, api_key))
        self._connections = [Connection(plan.target) for _ in range(plan.concurrency)]
        self._unread: deque[tuple[Ask, int, Answer]] = deque()
        self._tally = _Tally()
        self.samples: list[Sample] = []
        self.interrupted = False

    async def run(self) -> None:
        """Send every planned request once; faults become samples, nothing is raised."""
        async with asyncio.TaskGroup() as streams:
            for number, connection in enumerate(self._connections):
                streams.create_task(self._stream(number, connection))
        self._read_answers()

    def stop(self) -> None:
        """Send nothing more and cut off what is in flight; the samples so far stay."""
        self.interrupted = True
        for connection in self._connections:
            connection.stop()

    def progress(self) -> Progress:
        return self._tally.progress(self._plan.requests)

    async def _stream(self, number: int, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        while not self.interrupted and (next_up := self._asks.take()):
            ask, request = next_up
            loop.call_soon(self._while_waiting)  # runs when this request is on its way
            answer = await connection.exchange(request, self._plan.request_timeout_s)
            self._unread.append((ask, number, answer))
        connection.close()

    def _while_waiting(self) -> None:
        self._asks.refill()
        self._read_answers()

    def _read_answers(self) -> None:
        while self._unread:
            done = without_secret(sample(*self._unread.popleft()), self._api_key)
            self.samples.append(done)
            self._tally.add(done)


class _Prepared:
    """Requests written ahead of time, so that a stream that is done sends its next one at once."""

    def __init__(self, plan: LevelPlan, write: Callable[[Ask], bytes]) -> None:
        asks = plan.mix.asks(plan.concurrency, warmup=plan.warmup_requests, measured=plan.requests)
        self._to_come: Iterator[tuple[Ask, bytes]] = ((ask, write(ask)) for ask in asks)
        self._ready: deque[tuple[Ask, bytes]] = deque()
        for _ in range(2 * plan.concurrency):
            self.refill()

    def take(self) -> tuple[Ask, bytes] | None:
        return self._ready.popleft() if self._ready else None

    def refill(self) -> None:
        if (ask := next(self._to_come, None)) is not None:
            self._ready.append(ask)


class _Tally:
    """Sums over the measured answers, for the progress that people watch."""

    def __init__(self) -> None:
        self._completed = self._failed = self._tokens = 0
        self._ttft_s = 0.0
        self._since_s = time.monotonic()

    def add(self, done: Sample) -> None:
        if done.warmup:
            self._since_s = time.monotonic() if not self._completed else self._since_s
        elif done.error_kind:
            self._failed += 1
        else:
            self._completed += 1
            self._tokens += done.output_tokens or 0
            self._ttft_s += done.chunk_offsets_s[0]

    def progress(self, planned: int) -> Progress:
        return Progress(
            completed=self._completed,
            failed=self._failed,
            planned=planned,
            tokens_per_s=self._tokens / max(time.monotonic() - self._since_s, 1e-9),
            ttft_s=self._ttft_s / self._completed if self._completed else None,
        )
