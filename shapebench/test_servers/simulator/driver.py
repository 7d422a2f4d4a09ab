"""The engine in real time."""

import asyncio
import time

from shapebench.test_servers.simulator.engine import Engine, Request
from shapebench.test_servers.simulator.metrics import Metrics


class Driver:
    """Runs the engine's steps at their times, while there is work.

    Steps are due at absolute times, so that errors of timers (uvloop's have a resolution of a millisecond) do not add
    up.
    """

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        self._engine, self._metrics = engine, metrics
        self._running: asyncio.Task[None] | None = None

    def submit(self, request: Request) -> None:
        self._engine.add(request, time.monotonic())
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._run())

    def abort(self, request: Request) -> None:
        """Drop a request whose client disconnected; one that has ended is not changed."""
        if not request.ended:
            self._engine.abort(request)
            self._metrics.on_end(request)
            request.on_token()

    async def _run(self) -> None:
        # A process that is held up makes up for it, so that the pace stays true on a busy machine; after a longer delay
        # the clock starts again, or a server that cannot keep up would owe ever more steps.
        due_s, makes_up_s = time.monotonic(), self._engine.preset.makes_up_s
        while self._engine.busy:
            now_s = time.monotonic()
            step = self._engine.begin_step(now_s)
            due_s = max(due_s, now_s - makes_up_s) + step.duration_s
            await asyncio.sleep(max(due_s - time.monotonic(), 0))
            self._end_step(step.preemptions)

    def _end_step(self, preemptions: int) -> None:
        stepped = self._engine.end_step(time.monotonic())
        self._metrics.on_step(stepped, preemptions)
        for request in stepped:
            if request.ended:
                self._metrics.on_end(request)
            request.on_token()
