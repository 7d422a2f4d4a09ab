"""Pipeline for one of several endpoints, in its own process, so that all are measured at the same time.

None of these processes outlives this one, and each is stopped gracefully if there is time.
"""

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.settings import get_current_settings

from shapebench.errors import ShapebenchError
from shapebench.runs.progress_events import EVENTS, FailedEvent, FinishedEvent, ProgressEvent
from shapebench.spec.model import Spec
from shapebench.support import child_processes
from shapebench.support.redact import one_line
from shapebench.support.run_log import LONGEST_TEXT

LAST_LINES = 15  # of the log of a run that ended without an event that says how
SHOWN_STAGES = ("begin", "probe", "search", "measure")

logger = logging.getLogger("shapebench.choose")


class EndpointFailedError(ShapebenchError):
    """One of the endpoints could not be measured."""


# No retries, whatever Prefect's settings say: a measurement that is silently repeated is another measurement.
@task(name="measure-endpoint", task_run_name="measure {spec.endpoint.shape}", retries=0, cache_policy=NO_CACHE)
def measure_endpoint(spec: Spec, command: Sequence[str]) -> FinishedEvent:
    """Run the pipeline for one endpoint; `command` takes a spec on stdin and writes progress events."""
    shape = one_line(spec.endpoint.shape, LONGEST_TEXT)
    logger.info("%s: begins, at %s", shape, spec.endpoint.url)

    def show(event: ProgressEvent) -> None:
        if event.stage in SHOWN_STAGES:
            logger.info("%s: %s: %s", shape, event.stage, one_line(event.message, LONGEST_TEXT))

    finished = run_in_process(spec, command, show)
    logger.info("%s: done, run %s", shape, finished.run_id)
    return finished


def run_in_process(spec: Spec, command: Sequence[str], on_progress: Callable[[ProgressEvent], None]) -> FinishedEvent:
    """Run a command that writes progress events; raises EndpointFailedError if the last is not `finished`."""
    endpoint = f"{spec.endpoint.shape} at {spec.endpoint.url}"
    last: FinishedEvent | FailedEvent | None = None
    with tempfile.TemporaryFile() as log, _supervised(command, log) as process:
        assert process.stdin
        assert process.stdout
        with suppress(BrokenPipeError):  # it has ended, and its exit code says so
            process.stdin.write(spec.model_dump_json().encode() + b"\n")
            process.stdin.flush()  # and left open: its end stops the run
        for line in process.stdout:
            event = EVENTS.validate_json(line)
            if isinstance(event, ProgressEvent):
                on_progress(event)
            else:
                last = event
        code = process.wait()
        log.seek(0)
        lines = log.read().decode("utf-8", "replace").strip().splitlines()[-LAST_LINES:]
    match last:
        case FinishedEvent(complaint=None):
            return last
        case FinishedEvent(complaint=complaint):
            return last.model_copy(update={"complaint": f"{endpoint} is ranked, but: {complaint}"})
        case FailedEvent(problem=problem, remedy=remedy):
            reason = f"{problem}\n  What to do: {remedy}"
        case None:
            reason = "\n".join(lines) or f"it ended with code {code}"
    raise EndpointFailedError(
        f"{endpoint} could not be measured: {reason}",
        "Measure that endpoint separately with `shapebench run`; the others are ranked without it.",
    )


@contextmanager
def _supervised(command: Sequence[str], log: IO[bytes]) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a command under the supervisor, which ends it and all that it started when our end of its stdin closes."""
    supervisor = [sys.executable, "-P", "-m", "shapebench.support.supervisor", "--pass-line", *command]
    api = get_current_settings().api.url
    children = child_processes.current()
    # Its own session, so that a Ctrl-C reaches it through us, in good order.
    with subprocess.Popen(
        supervisor,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env={**os.environ, **({"PREFECT_API_URL": api} if api else {})},  # its flow run belongs to our server
        start_new_session=True,
    ) as process:
        children.add(process)
        try:
            yield process
        finally:
            children.remove(process)
            assert process.stdin
            with suppress(BrokenPipeError):  # what a supervisor that was stopped at once has not read
                process.stdin.close()
