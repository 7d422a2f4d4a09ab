"""Process that measures a level, or its part of one: the plan comes on stdin, results go to stdout.

It reads {"plan": …, "credentials": …}, opens its connections, prints {"ready": true}, and begins at the time in
{"start_ns": …}, so that all processes of a level begin together. It then prints {"tally": …} several times a
second and {"result": …} at the end; {"finish": true} ends it early, after the answers in flight. When stdin
ends, the parent process is gone: it stops, as on SIGTERM, and saves what was measured.
"""

import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.abc import MetaPathFinder

import orjson

from shapebench.apis.target import Credentials
from shapebench.errors import ShapebenchError
from shapebench.load.level import Level
from shapebench.load.messages import Order, WorkerMessage, WorkerResult
from shapebench.load.plan import LevelPlan
from shapebench.load.sample_writer import SampleStream, redact_sample
from shapebench.support.timestamps import clock_ns

REPORT_EVERY_S = 0.25
WRITE_EVERY_S = 1.0  # what a kill may cost where few answers come
PRIORITY = -10  # nice, of a scale from -20 to 19
OTHER_FILES = 64  # besides the streams' sockets


def main() -> None:
    """Measure the plan in the first line of stdin."""
    given = orjson.loads(_Orders.first())
    plan = LevelPlan.from_json(orjson.dumps(given["plan"]))
    raise_priority()
    try:
        raise_file_limit(len(plan.streams) + OTHER_FILES)
        _measure(plan, Credentials(**given["credentials"]))
    except ShapebenchError as error:
        _print({"error": str(error)})


def raise_file_limit(count: int) -> None:
    """Raise the limit of open files as needed; raises ShapebenchError if the hard limit is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise ShapebenchError(
            f"{count - OTHER_FILES} streams need {count} open files, but the hard limit is {hard}.",
            "Raise the hard limit (`ulimit -Hn`, systemd's LimitNOFILE=), or use more --processes.",
        )
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def raise_priority() -> None:
    """Raise this process's priority if permitted, so that it runs as soon as data arrives.

    Next to a server that keeps all cores busy, this process waited for up to a second; meanwhile tokens piled up, and
    streams idled between requests. A lower nice value does not help: Linux applies it within a session only.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    with suppress(OSError, AttributeError):  # not all platforms have it
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def _measure(plan: LevelPlan, credentials: Credentials) -> None:
    samples = SampleStream(plan.part_samples)
    level = Level(plan, credentials, samples.add)
    orders = _Orders(level)
    with _stopped_by_signals(level):
        level.connect()
        gc.collect()
        gc.freeze()
        gc.disable()  # nothing here makes cycles, and a look through ten thousand streams' tokens takes long
        _print({"ready": True})
        start_ns = orders.wait_for_start()
        level.loop.call_every(REPORT_EVERY_S, lambda: _report(level))
        level.loop.call_every(WRITE_EVERY_S, samples.flush)
        level.run(start_ns)
        result = _result(level, start_ns)
        _count_texts(level, plan, credentials, samples)
        samples.close()
        _report(level)
        _print({"result": result})


def _count_texts(level: Level, plan: LevelPlan, credentials: Credentials, samples: SampleStream) -> None:
    """Count the answers that came without usage, now that nothing is measured any more."""
    if not level.uncounted:
        return
    from shapebench.load.token_counting import count_texts

    exact_prompts, stopped = plan.mix.sizing.exact, level.interrupted
    for done in count_texts(level.uncounted, plan.target, credentials, exact_prompts=exact_prompts, stopped=stopped):
        samples.add(redact_sample(done, credentials.secrets))


def _result(level: Level, start_ns: int) -> WorkerResult:
    return {
        "started_at_ns": start_ns,
        "wall_s": (clock_ns() - start_ns) / 1e9,
        "timestamps": level.stamps.source,
        "interrupted": level.interrupted,
        "client": level.health.summary(),
    }


def _report(level: Level) -> None:
    level.tally.complete_until_ns = level.complete_until_ns
    _print({"tally": level.tally.message(), "buckets": level.buckets.take()})


class _Orders:
    """Commands that arrive on stdin while the level runs."""

    def __init__(self, level: Level) -> None:
        self._level = level
        self._begun = b""
        self._start_ns = 0
        os.set_blocking(sys.stdin.fileno(), False)
        level.loop.watch(sys.stdin.fileno(), self._on_readable)

    @staticmethod
    def first() -> bytes:
        """Read the first line; no other follows before this process is ready, so a buffer cannot swallow one."""
        return sys.stdin.buffer.readline()

    def wait_for_start(self) -> int:
        """Wait for the command to begin, and return its time (ns)."""
        if not self._start_ns and not self._level.interrupted:
            self._level.loop.run()
        return self._start_ns or clock_ns()

    def _on_readable(self) -> None:
        text = os.read(sys.stdin.fileno(), 1 << 16)
        *lines, self._begun = (self._begun + text).split(b"\n")
        for line in lines:
            self._follow(orjson.loads(line))
        if not text:
            self._level.loop.unwatch(sys.stdin.fileno())
            self._level.stop()

    def _follow(self, order: Order) -> None:
        if "start_ns" in order:
            self._start_ns = order["start_ns"]
            self._level.loop.stop()
        if "finish" in order:
            self._level.finish()


@contextmanager
def _stopped_by_signals(level: Level) -> Iterator[None]:
    """Stop the level on SIGTERM and SIGINT, which afterwards have no effect.

    Signals arrive through a socket: a handler may run between any two steps, while the level is in the middle of one.
    """
    receiver, sender = socket.socketpair()
    with receiver, sender:
        receiver.setblocking(False)
        sender.setblocking(False)
        signal.set_wakeup_fd(sender.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)

        def on_signal() -> None:
            receiver.recv(64)
            level.stop()

        level.loop.watch(receiver.fileno(), on_signal)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            level.loop.unwatch(receiver.fileno())


class _WithoutPandas(MetaPathFinder):
    """Blocks pandas: pyarrow would import it at its first list, which takes 60 MB and delays reads by 0.3 s."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ImportError("pandas is not for the measuring process")


def _print(message: WorkerMessage) -> None:
    with suppress(BrokenPipeError):  # nobody reads it any more, but the samples are still to be written
        os.write(sys.stdout.fileno(), orjson.dumps(message) + b"\n")


if __name__ == "__main__":
    sys.meta_path.insert(0, _WithoutPandas())
    main()
