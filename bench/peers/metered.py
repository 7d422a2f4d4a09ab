"""Run a command within a time limit, and record its cost: `python metered.py SECONDS RESULT COMMAND…`.

RESULT is a JSON file: the exit status (null after the time limit), the wall time and the CPU time of all processes, in
seconds. Orphaned processes, also daemons, become children of this one: they are counted, and ended with the command.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36


def reap() -> None:
    """Wait for all children, since RUSAGE_CHILDREN includes only those that were waited for."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def end_all() -> None:
    """Kill all descendants of this process, in any session."""
    while children := psutil.Process().children(recursive=True):
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        reap()


def status_of(command: list[str], limit_s: float) -> int | None:
    """Return the command's exit status, or None if it exceeded the limit."""
    try:
        return subprocess.Popen(command, start_new_session=True).wait(limit_s)
    except subprocess.TimeoutExpired:
        return None


def main() -> None:
    limit_s, result, command = float(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    start = time.monotonic()
    try:
        status = status_of(command, limit_s)
        wall_s = time.monotonic() - start
    finally:
        end_all()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    result.write_text(json.dumps({"status": status, "wall_s": wall_s, "cpu_s": used.ru_utime + used.ru_stime}))


if __name__ == "__main__":
    main()
