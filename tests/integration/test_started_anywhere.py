"""The tests themselves: they pass in the background of a script, and one that fails leaves no process behind."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.slow

TESTS = """
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SLEEP = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"]


def test_that_interrupts_a_command():
    with subprocess.Popen(SLEEP, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        command.stdout.readline()
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=20)
    assert command.returncode == -signal.SIGINT


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_that_fails():
    command = subprocess.Popen(SLEEP, start_new_session=True, stdout=subprocess.DEVNULL)
    Path(__file__).with_name("pid").write_text(str(command.pid))
    assert command.poll()
"""
# As a shell starts what is to run in the background: SIGINT is ignored, also by what that starts.
IN_THE_BACKGROUND = 'trap "" INT; exec "$@"'


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int]:
    """What pytest says of them, and the number of the process that the failing one had started."""
    folder: Path = tmp_path_factory.mktemp("tests")
    (folder / "test_two.py").write_text(TESTS, encoding="utf-8")
    pytest_ = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", "pyproject.toml"]
    command = ["sh", "-c", IN_THE_BACKGROUND, "sh", *pytest_, "-q", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout, int((folder / "pid").read_text())


def test_a_command_can_be_interrupted_where_sigint_was_ignored(outcome: tuple[str, int]) -> None:
    assert "test_that_interrupts_a_command" not in outcome[0].partition("short test summary")[2], outcome[0]
    assert "1 failed, 1 passed" in outcome[0], outcome[0]


def test_a_test_that_fails_leaves_no_process_behind(outcome: tuple[str, int]) -> None:
    assert not psutil.pid_exists(outcome[1]) or psutil.Process(outcome[1]).status() == psutil.STATUS_ZOMBIE
