"""Worker processes of a level: started together, monitored, and always ended."""

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal, Self

import orjson

from shapebench.apis.target import Credentials
from shapebench.load.client_health import merge_summaries
from shapebench.load.counters import Progress, Tally, sum_progress
from shapebench.load.messages import Order, WorkerMessage, WorkerResult
from shapebench.load.plan import LevelPlan
from shapebench.runs.samples_file import join
from shapebench.support import child_processes
from shapebench.support.batch_means import Buckets, UntilPrecise
from shapebench.support.child_processes import ChildProcesses

STOP_TIMEOUT_S = 5
MEASURING = "The measuring process"
NO_SPINNING = {"OPENBLAS_NUM_THREADS": "1"}  # numpy, which Arrow imports, has threads that look for work in a loop
START_AHEAD_S = 0.02  # from telling the processes when to begin to that moment


@dataclass(frozen=True)
class Outcome:
    """The merged result of a level's processes; `error` says why there are no samples, or not all."""

    started_at: datetime
    wall_s: float
    timestamps: Literal["kernel", "user"] = "user"
    samples: Path | None = None
    sent: int = 0  # measured requests
    client: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    stopped: bool = False  # on purpose, before all requests were sent


def run_workers(plan: LevelPlan, credentials: Credentials, on_progress: Callable[[Progress], None]) -> Outcome:
    """Measure one level in worker processes; all errors are in the outcome."""
    started_at, children = datetime.now(UTC), child_processes.current()
    if children.stopped:
        return Outcome(started_at, 0.0, error="The run was stopped before this level began.", stopped=True)
    try:
        with ExitStack() as stack:
            parts = [stack.enter_context(_Part(part, credentials, children)) for part in plan.parts()]
            stack.callback(_stop, parts)  # all together, before one after the other is waited for
            _conduct(plan, parts, on_progress)
            for part in parts:
                part.process.wait()
            outcome = _outcome(parts, started_at)
    except OSError as error:
        outcome = Outcome(started_at, 0.0, error=f"The measuring processes could not be started: {error}")
    finally:  # also where the level is interrupted
        samples, not_joined = _joined(plan)
    return replace(outcome, samples=samples, error=outcome.error or not_joined)


def _conduct(plan: LevelPlan, parts: list["_Part"], on_progress: Callable[[Progress], None]) -> None:
    """Start the level when all are ready, and report progress until all have ended."""
    start_ns = 0
    goal = UntilPrecise(plan.until_precise, plan.concurrency) if plan.until_precise else None
    for _ in _messages(parts):
        if any(part.ended_badly for part in parts):
            _stop(parts)
        elif not start_ns and all(part.ready for part in parts):
            start_ns = time.time_ns() + round(START_AHEAD_S * 1e9)
            _send_all(parts, {"start_ns": start_ns})
        if start_ns:
            on_progress(sum_progress([part.tally for part in parts], plan.requests))
            if goal and _reached(goal, parts, start_ns):
                goal = None
                _send_all(parts, {"finish": True})


def _stop(parts: list["_Part"]) -> None:
    for part in parts:
        part.process.terminate()


def _send_all(parts: list["_Part"], order: Order) -> None:
    for part in parts:
        part.send(order)


def _reached(goal: UntilPrecise, parts: list["_Part"], start_ns: int) -> bool:
    """Check whether the means are precise enough, over the time in which all streams were past their warm-up."""
    tallies = [part.tally for part in parts]
    from_ns = [tally.steady_from_ns for tally in tallies if tally.steady_from_ns]
    if len(from_ns) < len(parts):
        return False
    from_s, to_s = ((t - start_ns) / 1e9 for t in (max(from_ns), min(tally.complete_until_ns for tally in tallies)))
    return goal.reached(Buckets.merge([part.buckets for part in parts]), from_s, to_s)


def _messages(parts: list["_Part"]) -> Iterator[None]:
    """Receive the processes' messages, yielding after each; ends when all have closed their output."""
    with selectors.DefaultSelector() as talking:
        for part in parts:
            talking.register(part.stdout, selectors.EVENT_READ, part)
        while talking.get_map():
            for key, _ in talking.select():
                if not key.data.listen():
                    talking.unregister(key.fileobj)
                yield


def _outcome(parts: list["_Part"], started_at: datetime) -> Outcome:
    """Merge the results, all but the samples."""
    results = [part.result for part in parts if part.result]
    begun_ns = min((r["started_at_ns"] for r in results), default=None)
    error, stopped = _error(parts)
    return Outcome(
        started_at=datetime.fromtimestamp(begun_ns / 1e9, UTC) if begun_ns else started_at,
        wall_s=max((r["wall_s"] for r in results), default=(datetime.now(UTC) - started_at).total_seconds()),
        timestamps="kernel" if results and all(r["timestamps"] == "kernel" for r in results) else "user",
        sent=sum(part.tally.sent for part in parts),
        client=merge_summaries([result["client"] for result in results]),
        error=error,
        stopped=stopped,
    )


def _error(parts: list["_Part"]) -> tuple[str | None, bool]:
    """Return the error of the process that failed first, and whether they were stopped on purpose."""
    if broken := next((part for part in parts if not (part.result or part.was_stopped)), None):
        return broken.complaint, False
    if any(part.result is None or part.result["interrupted"] for part in parts):
        return "The measurement was stopped before all requests were sent.", True
    return None, False


def _joined(plan: LevelPlan) -> tuple[Path | None, str | None]:
    """Join the files of the processes, also if one was killed; or return why there is no file."""
    streams = [part.part_samples for part in plan.parts()]
    whole = Path(plan.samples)
    try:
        count = join(streams, whole, {"plan": plan.to_json().decode()})
    except OSError as error:
        return None, f"The samples could not be put together ({error}); they are in {whole.parent}, named *.arrow."
    for stream in streams:
        stream.unlink(missing_ok=True)
    if not count:
        whole.unlink()
    return (whole, None) if count else (None, "There are no samples.")


class _Part:
    """One worker process of a level; it has ended when the block is left."""

    def __init__(self, plan: LevelPlan, credentials: Credentials, children: ChildProcesses) -> None:
        self._name = f"Measuring process {plan.part + 1} of {plan.processes}" if plan.processes > 1 else MEASURING
        self._begun = b""  # of a line
        self._silent = False
        self.ready = False
        self.tally = Tally()
        self.buckets = Buckets()
        self.result: WorkerResult | None = None
        self.error: str | None = None
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end, in __exit__
        self._children = children
        self.process = self._start(credentials)
        self.stdout: IO[bytes] = _given(self.process.stdout)
        # Secrets go through the pipe: in arguments or in the environment others could read them.
        self._write(b'{"plan":%s,"credentials":%s}\n' % (plan.to_json(), orjson.dumps(credentials)))

    def _start(self, credentials: Credentials) -> subprocess.Popen[bytes]:
        # -P keeps the working directory out of sys.path.
        command = [sys.executable, "-P", "-m", "shapebench.load"]
        pipe, environment = subprocess.PIPE, _without(credentials.secrets) | NO_SPINNING
        # Its own session, so that we handle a Ctrl-C, and stop it gracefully.
        process = subprocess.Popen(
            command,
            stdin=pipe,
            stdout=pipe,
            stderr=self._complaints,
            env=environment,
            start_new_session=True,
            bufsize=0,
        )
        self._children.add(process)
        return process

    def send(self, order: Order) -> None:
        self._write(orjson.dumps(order) + b"\n")

    def _write(self, data: bytes) -> None:
        stdin = _given(self.process.stdin)
        try:
            while data:
                data = data[stdin.write(data) :]
        except BrokenPipeError:
            pass  # it has ended, as the end of its output shows

    def listen(self) -> bool:
        """Receive its messages; False after the last one."""
        text = self.stdout.read(1 << 16)
        *lines, self._begun = (self._begun + (text or b"")).split(b"\n")
        for line in lines:
            self._take(orjson.loads(line))
        self._silent = not text
        return not self._silent

    def _take(self, message: WorkerMessage) -> None:
        self.ready = self.ready or "ready" in message
        self.result = message.get("result", self.result)
        self.error = message.get("error", self.error)
        if "tally" in message:
            self.tally = Tally(**message["tally"])
            self.buckets.add(message["buckets"])

    @property
    def ended_badly(self) -> bool:
        """True if it closed its output without a result, which is noticed before the end of the process."""
        return self._silent and self.result is None

    @property
    def was_stopped(self) -> bool:
        """True if it was stopped before it had anything to report."""
        return self.process.wait() == -signal.SIGTERM

    @property
    def complaint(self) -> str:
        """The reason why there is no result."""
        return self.error or f"{self._name} {_ending(self.process.wait())}: {_tail(self._complaints)}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._children.remove(self.process)
        for pipe in (self.process.stdin, self.process.stdout, self._complaints):
            _given(pipe).close()


def _given(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _without(secrets: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if value.strip() not in secrets}


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _tail(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    return complaints.read().decode("utf-8", "replace").strip()[-2000:] or "it said nothing"
