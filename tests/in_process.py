"""Commands in the process of the tests: a start of Python less for each answer and exit code.

What signals, a terminal or several processes have a part in is tested with `tests.conftest.Shell`.
"""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from unittest.mock import patch

from click.testing import CliRunner

from cli.main import main
from shapebench.support.timing import timing
from tests.blank_pictures import blank_pictures
from tests.conftest import Finished, Shell

SENT_WITHIN_S = 20


class InProcess(Shell):
    """Runs `shapebench …` as its entry point does, and leaves environment and loggers as they were."""

    def run(self, *arguments: str, timeout_s: float = 240) -> Finished:
        del timeout_s  # pytest's own holds
        with (
            self.surroundings(),
            patch.object(sys, "argv", ["shapebench", *arguments]),
            _same_loggers_afterwards(),
            CliRunner().isolation() as (stdout, stderr, _),
        ):
            code = _exit_code()
            sys.stdout.flush()
            sys.stderr.flush()
            return Finished(code, stdout.getvalue().decode(), stderr.getvalue().decode())

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """The environment of the commands."""
        with patch.dict(os.environ, self.environment):
            yield


class FlowsInProcess(InProcess):
    """Runs flows, too, and the commands that do: what they import takes longer than a short run.

    Prefect and its tasks read settings once in a process: here they are those of the environment given. Pages have
    blank pictures unless told otherwise.
    """

    def __init__(self, environment: dict[str, str], *, pictures: bool = False) -> None:
        super().__init__(environment)
        self._pictures = pictures

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        from prefect.context import SettingsContext, get_settings_context
        from prefect.settings import Settings

        with ExitStack() as stack:
            stack.enter_context(super().surroundings())
            stack.callback(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
            stack.enter_context(SettingsContext(profile=get_settings_context().profile, settings=Settings()))
            stack.enter_context(_short_retry_delays())
            stack.enter_context(nullcontext() if self._pictures else blank_pictures())
            stack.callback(_send_what_is_left)
            yield


def _send_what_is_left() -> None:
    """Send logs and events, as at the end of a process; once the server is gone, Prefect would wait for it for ever."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=SENT_WITHIN_S, at_exit=False)


@contextmanager
def _short_retry_delays() -> Iterator[None]:
    from tasks.probe import probe
    from tasks.publish import publish
    from tasks.store import store

    delays_s = list(timing().retry_delays_s)
    with (
        patch.object(probe, "retry_delay_seconds", delays_s),
        patch.object(publish, "retry_delay_seconds", delays_s),
        patch.object(store, "retry_delay_seconds", timing().store_retry_delay_s),
    ):
        yield


def _exit_code() -> int:
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return 0


@contextmanager
def _same_loggers_afterwards() -> Iterator[None]:
    """Commands add handlers, which write to what is stderr then."""
    before = {logger.name: ([*logger.handlers], logger.level, logger.propagate) for logger in _our_loggers()}
    try:
        yield
    finally:
        for logger in _our_loggers():
            logger.handlers[:], level, logger.propagate = before.get(logger.name, ([], logging.NOTSET, True))
            logger.setLevel(level)


def _our_loggers() -> list[logging.Logger]:
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "shapebench"]
    return [logging.getLogger(name) for name in names]
