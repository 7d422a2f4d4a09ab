"""Runs the main flow in a separate process: the spec comes on stdin as JSON, progress goes to stdout as JSON lines.

    python -m flows.benchmark_process < spec.json

The lines are events of `shapebench.runs.progress_events`; the last is `finished` or `failed`. Logs go to stderr.
"""

import logging
import os
import signal
import sys
from typing import TextIO

from pydantic import BaseModel

from flows.prefect_settings import set_defaults
from shapebench.errors import ShapebenchError
from shapebench.runs.progress_events import FailedEvent, FinishedEvent, ProgressEvent
from shapebench.spec.model import Spec


def main() -> int:
    """Run the flow; exit 1 where it fails."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exception, so that what was started is stopped
    spec = Spec.model_validate_json(sys.stdin.buffer.read())
    events = _events_only()
    logging.getLogger("shapebench").addHandler(_EventHandler(events))
    last = _run(spec)
    _write(events, last)
    return 0 if isinstance(last, FinishedEvent) and not last.complaint else 1


def _events_only() -> TextIO:
    """Keep stdout for events: what anything else prints goes to stderr."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return events


class _EventHandler(logging.Handler):
    """Writes each milestone as an event."""

    def __init__(self, events: TextIO) -> None:
        super().__init__()
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        if stage := getattr(record, "stage", None):
            message = record.getMessage().removeprefix(f"{stage}: ")
            facts = getattr(record, "facts", {})
            fields = {name: fact if isinstance(fact, bool | int | float) else str(fact) for name, fact in facts.items()}
            _write(self._events, ProgressEvent(stage=stage, message=message, fields=fields))


def _write(events: TextIO, event: BaseModel) -> None:
    events.write(event.model_dump_json() + "\n")
    events.flush()


def _run(spec: Spec) -> FinishedEvent | FailedEvent:
    """Run the flow and return how it ended; a defect of ours raises."""
    set_defaults()
    from flows.benchmark import Outcome, benchmark  # and Prefect, which reads its settings now
    from shapebench.report.pages.kit import warm_up

    warm_up()
    state = benchmark(spec, return_state=True)
    result = getattr(state.data, "result", state.data)
    if isinstance(result, Outcome):
        complaint = (state.message or "The run failed.") if state.is_failed() else None
        return FinishedEvent(run_id=result.run_id, verdict=result.verdict.status, complaint=complaint)
    if isinstance(result, ShapebenchError):
        return FailedEvent(problem=result.problem, remedy=result.remedy)
    if isinstance(result, BaseException):
        raise result
    return FailedEvent(problem=state.message or "The flow did not finish.", remedy="See its flow run in Prefect.")


if __name__ == "__main__":
    sys.exit(main())
