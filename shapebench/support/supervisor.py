"""Run a command, and end it with all its children when the parent process is gone.

    python -m shapebench.support.supervisor [--pass-line] COMMAND [ARGUMENT …]

Its stdin is a pipe that the parent keeps open; with --pass-line its first line becomes the command's stdin.

A server that is launched for a run must not outlive it, even if the run is killed without a chance to clean up: the
end of stdin is the only signal that always arrives.
"""

import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

from shapebench.support.timing import timing

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main() -> int:
    """Exit as the command did, or 0 where it was ended on purpose."""
    stop = threading.Event()  # not an exception: that could cut short the ending of the command
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    pass_line, arguments = sys.argv[1] == "--pass-line", sys.argv[1:]
    if pass_line:
        arguments = arguments[1:]
    try:
        command = _start(arguments, sys.stdin.buffer.readline() if pass_line else b"")
    except OSError as error:
        print(f"cannot start {arguments[0]}: {error.strerror}", file=sys.stderr)
        return 127
    try:
        _wait_for_the_end(command, stop)
        code = command.poll() or 0
        return code if code >= 0 else 128 - code  # as a shell says which signal it was
    finally:
        _end(command)


def _start(arguments: list[str], line: bytes) -> "subprocess.Popen[bytes]":
    stdin = subprocess.PIPE if line else subprocess.DEVNULL
    command = subprocess.Popen(arguments, stdin=stdin, start_new_session=True)
    if command.stdin:
        with suppress(BrokenPipeError):  # it has ended already
            command.stdin.write(line)
            command.stdin.close()
    return command


def _wait_for_the_end(command: "subprocess.Popen[bytes]", stop: threading.Event) -> None:
    """Wait for the end of the command or of stdin, or for a signal."""
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        while command.poll() is None and not stop.is_set():
            if selector.select(timeout=0.1) and not os.read(sys.stdin.fileno(), 4096):
                return


def _end(command: "subprocess.Popen[bytes]") -> None:
    """Send SIGTERM to the group, then SIGKILL to remaining processes."""
    deadline_s = time.monotonic() + timing().stop_grace_s
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(command.pid, number)
        except ProcessLookupError:
            return
        while number == signal.SIGTERM and time.monotonic() < deadline_s and _group_lives(command):
            time.sleep(0.05)


def _group_lives(command: "subprocess.Popen[bytes]") -> bool:
    command.poll()  # or it would stay a zombie, which counts as alive
    try:
        os.killpg(command.pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
