"""Child processes of a run: none outlives it, and none is started after it was stopped."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event, Lock

Process = subprocess.Popen[bytes] | subprocess.Popen[str]


class ChildProcesses:
    """The running processes of one run; several threads may start them while another stops the run."""

    def __init__(self) -> None:
        self._running: set[Process] = set()
        self._lock = Lock()
        self._stopped = Event()

    @property
    def stopped(self) -> bool:
        """True after the run was stopped: no more processes may be started."""
        return self._stopped.is_set()

    @property
    def running(self) -> tuple[Process, ...]:
        """The processes that have been added and not removed."""
        with self._lock:
            return tuple(self._running)

    def add(self, process: Process) -> None:
        """Add a process, to be ended with the run; at once if the run was stopped while the process started."""
        with self._lock:
            self._running.add(process)
        if self.stopped:
            process.terminate()

    def remove(self, process: Process) -> None:
        """Forget a process that has ended."""
        with self._lock:
            self._running.discard(process)

    def stop(self) -> None:
        """Send SIGTERM to all that run, so that they end in good order."""
        self._stopped.set()
        for process in self.running:
            process.terminate()


# Of this run, and not of another in the same process: threads that are started for a run take over its context.
_current: ContextVar[ChildProcesses | None] = ContextVar("child_processes", default=None)


def current() -> ChildProcesses:
    """Return the child processes of the current run; outside of a run, an instance that is never stopped."""
    return _current.get() or ChildProcesses()


@contextmanager
def stopped_on_error() -> Iterator[ChildProcesses]:
    """Own the processes that are started in the block; stop them if it ends by an exception, Ctrl-C or cancel."""
    children = ChildProcesses()
    before = _current.set(children)
    try:
        yield children
    except BaseException:
        children.stop()
        raise
    finally:
        _current.reset(before)
