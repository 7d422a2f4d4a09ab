"""A whole run in a process of its own, so that several endpoints are measured at the same time.

None of them outlives this process, whatever ends it, and each is told in good order where there is time for that.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import yaml

from shapebench.errors import ShapebenchError
from shapebench.spec.model import Spec

LAST_LINES = 15  # of what a run that failed without an error of its own has said
ERROR = "Error: "
WIDE = {"COLUMNS": "500"}  # a line stays a line
_MILESTONE = re.compile(r"(?:^|\] | {2,})((?:begin|probe|search|measure): .*)")

_running: set["subprocess.Popen[str]"] = set()
_stopping = Event()


class EndpointFailedError(ShapebenchError):
    """One of the endpoints could not be measured."""


@dataclass(frozen=True)
class Ended:
    """A run that is stored; `complaint` is what went wrong with it nevertheless."""

    run_id: str
    complaint: str | None = None


@contextmanager
def ended_on_error() -> Iterator[None]:
    """Where the block is left by an exception, a Ctrl-C or a cancel: end the runs in hand, and begin no other."""
    _stopping.clear()
    try:
        yield
    except BaseException:
        _stopping.set()
        for process in tuple(_running):
            process.terminate()
        raise


def measure_apart(spec: Spec, hear: Callable[[str], None]) -> Ended:
    """Run the whole pipeline for one endpoint, with its progress as lines to `hear`; raises EndpointFailedError."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "spec.yaml"
        file.write_text(yaml.safe_dump(spec.model_dump(mode="json", exclude_none=True)), encoding="utf-8")
        code, stdout, said = _run([sys.executable, "-m", "cli", "run", str(file), "--json"], hear)
    about = f"{spec.endpoint.shape} at {spec.endpoint.url}"
    if found := _object(stdout):
        return Ended(str(found["run_id"]), f"{about} is ranked, but: {said}" if code else None)
    raise EndpointFailedError(
        f"{about} could not be measured: {said or f'it ended with code {code}'}",
        "Try that endpoint alone with `shapebench run`; the others are ranked without it.",
    )


def _object(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except ValueError:
        return {}


def _run(command: list[str], hear: Callable[[str], None]) -> tuple[int, str, str]:
    """Exit code, stdout, and the error."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as stdout, _guarded(command, stdout) as process:
        assert process.stderr
        said = []
        for line in process.stderr:
            if found := _MILESTONE.search(line):
                hear(found[1].strip())
            elif line.strip():
                said.append(line.rstrip())
        code = process.wait()
        stdout.seek(0)
        return code, stdout.read(), _error(said)


def _error(said: list[str]) -> str:
    """What the command line calls an error, else the last that was said."""
    begins = [number for number, line in enumerate(said) if line.startswith(ERROR)]
    last = said[begins[-1] :] if begins else said[-LAST_LINES:]
    return "\n".join(last).removeprefix(ERROR)


@contextmanager
def _guarded(command: list[str], stdout: Any) -> Iterator["subprocess.Popen[str]"]:
    """The guard's stdin is open as long as we live, which is how it knows; it ends the command and all of its own."""
    guard = [sys.executable, "-P", "-m", "shapebench.support.supervisor", *command]
    pipe = subprocess.PIPE
    # A session of its own, so that a Ctrl-C reaches it through us, in good order.
    with subprocess.Popen(
        guard,
        stdin=pipe,
        stdout=stdout,
        stderr=pipe,
        text=True,
        errors="replace",
        env={**os.environ, **WIDE},
        start_new_session=True,
    ) as process:
        _running.add(process)
        if _stopping.is_set():  # too late for whoever stopped us to see this process
            process.terminate()
        try:
            yield process
        finally:
            _running.discard(process)
