"""Starts the process that measures a level, listens to it, and never leaves it behind."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import IO, Any, Literal

import orjson

from shapebench.load.level import Progress
from shapebench.load.plan import LevelPlan

STOP_TIMEOUT_S = 5


@dataclass(frozen=True)
class Outcome:
    """What a level's process reported; `error` says why there are no samples, or not all."""

    started_at: datetime
    wall_s: float
    timestamps: Literal["kernel", "user"] = "user"
    samples: Path | None = None
    client: dict[str, float] = field(default_factory=dict)
    error: str | None = None


_running: set[subprocess.Popen[bytes]] = set()
_stopping = Event()


@contextmanager
def stopped_on_error() -> Iterator[None]:
    """Where the block is left by an exception, a Ctrl-C or a cancel: stop the level in hand, and begin no other."""
    _stopping.clear()
    try:
        yield
    except BaseException:
        _stopping.set()
        for process in tuple(_running):
            process.terminate()  # it writes what it has measured so far
        raise


def measure(plan: LevelPlan, api_key: str | None, on_progress: Callable[[Progress], None]) -> Outcome:
    """Measure one level in a process of its own; whatever befalls that process is in the outcome."""
    started_at = datetime.now(UTC)
    if _stopping.is_set():
        return Outcome(started_at, 0.0, error="The run was stopped before this level began.")
    with tempfile.TemporaryFile() as complaints:
        result, code = _run(plan, api_key, on_progress, complaints)
        if result is None:
            wall_s = (datetime.now(UTC) - started_at).total_seconds()
            return Outcome(started_at, wall_s, error=f"The measuring process {_ending(code)}: {_tail(complaints)}")
    return Outcome(
        started_at=datetime.fromtimestamp(result["started_at_ns"] / 1e9, UTC),
        wall_s=result["wall_s"],
        timestamps=result["timestamps"],
        samples=Path(plan.samples),
        client=result["client"],
        error="The measurement was stopped before all requests were sent." if result["interrupted"] else None,
    )


def _run(
    plan: LevelPlan, api_key: str | None, on_progress: Callable[[Progress], None], complaints: IO[bytes]
) -> tuple[dict[str, Any] | None, int]:
    # -X importtime and the like would land in stdout's way; -P keeps the working directory out of sys.path.
    command = [sys.executable, "-P", "-m", "shapebench.load"]
    pipe = subprocess.PIPE
    # A session of its own, so that a Ctrl-C reaches it through us, in good order.
    process = subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=complaints, env=_without(api_key), start_new_session=True
    )
    _running.add(process)
    if _stopping.is_set():  # since we looked: too late for whoever stopped us to see this process
        process.terminate()
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        # The key goes through the pipe: in arguments or in the environment others could read it.
        process.stdin.write(b'{"plan":%s,"api_key":%s}\n' % (plan.to_json(), orjson.dumps(api_key)))
        process.stdin.flush()
        return _listen(process.stdout, on_progress), process.wait()
    except BrokenPipeError:
        return None, process.wait()
    finally:
        _stop(process)
        _running.discard(process)


def _without(api_key: str | None) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if value.strip() != api_key}


def _listen(lines: IO[bytes], on_progress: Callable[[Progress], None]) -> dict[str, Any] | None:
    result = None
    for line in lines:
        message = orjson.loads(line)
        if "progress" in message:
            on_progress(Progress(**message["progress"]))
        result = message.get("result", result)
    return result


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _tail(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    return complaints.read().decode("utf-8", "replace").strip()[-2000:] or "it said nothing"
