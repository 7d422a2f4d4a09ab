"""The processes of a run end with it, and those of another run in the same process do not."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from contextvars import Context, copy_context

import pytest

from shapebench.support.child_processes import current, stopped_on_error

Process = subprocess.Popen[bytes]


@pytest.fixture
def sleeper() -> Iterator[Process]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def test_an_error_ends_what_was_started(sleeper: Process) -> None:
    with suppress(ValueError), stopped_on_error() as children:
        current().add(sleeper)
        assert children.running == (sleeper,)
        raise ValueError("no")
    assert sleeper.wait(10) == -signal.SIGTERM


def test_what_a_thread_starts_after_the_stop_is_ended_at_once(sleeper: Process) -> None:
    with suppress(KeyboardInterrupt), stopped_on_error():
        of_the_run = copy_context()
        raise KeyboardInterrupt
    assert of_the_run.run(lambda: current().stopped)
    of_the_run.run(lambda: current().add(sleeper))
    assert sleeper.wait(10) == -signal.SIGTERM


def test_two_runs_in_one_process_do_not_stop_or_reset_each_other(sleeper: Process) -> None:
    def stopped_run() -> Context:
        with suppress(KeyboardInterrupt), stopped_on_error():
            context = copy_context()
            raise KeyboardInterrupt
        return context

    with stopped_on_error() as children:
        children.add(sleeper)
        stopped = copy_context().run(stopped_run)
        assert not children.stopped
        assert sleeper.poll() is None
        assert stopped.run(lambda: current().stopped)


def test_a_block_that_ends_well_ends_nothing(sleeper: Process) -> None:
    with stopped_on_error():
        current().add(sleeper)
    assert sleeper.poll() is None
    assert not current().stopped


def test_what_has_ended_is_forgotten(sleeper: Process) -> None:
    with stopped_on_error() as children:
        children.add(sleeper)
        children.remove(sleeper)
        assert children.running == ()
