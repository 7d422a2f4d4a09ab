"""A run in a process of its own: what it has reached is heard, and what it broke on is found in what it said."""

import signal
import sys

import pytest

from tasks import subprocess_run as apart

SAYS = """
import sys
print("[11/25/26 09:30:36] begin: run x of m at u", file=sys.stderr)
print("                    measure: concurrency 1: begins", file=sys.stderr)
print("   1 stream ------- -:--:--", file=sys.stderr)
print("{}")
"""


def ran(script: str) -> tuple[int, str, str, list[str]]:
    heard: list[str] = []
    return *apart._run([sys.executable, "-c", script], heard.append), heard


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rest", "code", "error"),
    [
        ("", 0, "1 stream ------- -:--:--"),
        ("sys.exit('Error: no\\n  What to do: yes')", 1, "no\n  What to do: yes"),
        ("sys.exit('Traceback')", 1, "1 stream ------- -:--:--\nTraceback"),
    ],
)
def test_milestones_are_heard_and_the_error_is_what_the_command_line_calls_one(
    rest: str, code: int, error: str
) -> None:
    ended, stdout, said, heard = ran(SAYS + rest)
    assert (ended, stdout, said.strip()) == (code, "{}\n", error)
    assert heard == ["begin: run x of m at u", "measure: concurrency 1: begins"]


@pytest.mark.slow
def test_after_a_stop_none_is_begun() -> None:
    with pytest.raises(KeyboardInterrupt), apart.ended_on_error():
        raise KeyboardInterrupt
    try:
        code, stdout, _, _ = ran("import time; time.sleep(5); print('done')")
        assert (code in (0, -signal.SIGTERM), stdout) == (True, "")  # the guard has ended it, or had not begun itself
    finally:
        with apart.ended_on_error():
            pass
