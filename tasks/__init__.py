"""Prefect tasks: one file a stage, with its policy and one call into the core."""

import logging

import prefect.main  # noqa: F401 - sets up logging, and the loggers that PREFECT_LOGGING_EXTRA_LOGGERS names
from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler

from shapebench.errors import ShapebenchError


def _in_a_run(_record: logging.LogRecord) -> bool:
    return bool(FlowRunContext.get() or TaskRunContext.get())


def _without_traceback(record: logging.LogRecord) -> bool:
    """Drop the traceback of an error that has a remedy: its text is enough."""
    if record.exc_info and isinstance(record.exc_info[1], ShapebenchError):
        record.exc_info = None
    return True


def _show_milestones_in_prefect() -> None:
    core = logging.getLogger("shapebench")
    core.setLevel(logging.INFO)
    if not any(isinstance(handler, APILogHandler) for handler in core.handlers):
        handler = APILogHandler()
        handler.addFilter(_in_a_run)
        core.addHandler(handler)


_show_milestones_in_prefect()
for _name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).addFilter(_without_traceback)
