"""A launched server is there while the block runs, and never after, whatever happens."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from shapebench.probe.launch import AddressInUseError, LaunchCommandError, LaunchFailedError, launched, serving
from shapebench.spec.model import Endpoint
from shapebench.support.timing import set_testing
from shapebench.test_servers.simulator.process import running_simulator

pytestmark = pytest.mark.slow

FOREVER = "import time; print('started', flush=True); time.sleep(600)"


def python(code: str) -> str:
    return shlex.join([sys.executable, "-c", code])


def alive(pid: int) -> bool:
    """Running; where nobody collects orphans, an ended one stays as a zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], object], at_most_s: float = 60) -> None:
    end_s = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.02)


def numbers_in(file: Path, count: int) -> list[int]:
    """The process numbers that were written to a file, once they are all there."""
    wait_until(lambda: file.exists() and file.read_text().count("\n") >= count)
    return [int(line) for line in file.read_text().split()]


TREE = "echo $$ >> $1; sleep 600 & echo $! >> $1; sh -c 'echo $$ >> $1; sleep 600; true' x $1 & wait"
STUBBORN = "trap '' TERM; echo $$ >> $1; while true; do sleep 1; done"


def shell(script: str, pids: Path) -> str:
    """A shell that writes process numbers into a file, $1."""
    return shlex.join(["sh", "-c", script, "x", str(pids)])


def test_a_server_runs_while_the_block_does_and_its_output_is_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with launched(python(FOREVER), log) as still_starting:
        wait_until(lambda: "started" in log.read_text())
        still_starting()
    assert "started" in log.read_text()


def test_what_it_says_as_an_error_is_in_the_log_too(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with launched(python("import sys; print('trouble', file=sys.stderr)"), log):
        wait_until(lambda: "trouble" in log.read_text())


def guards(parent: int | None = None) -> list[psutil.Process]:
    return [child for child in psutil.Process(parent).children() if "shapebench.support.supervisor" in child.cmdline()]


@pytest.mark.parametrize("command", [None, "", "  "])
def test_without_a_command_nothing_is_started(command: str | None, tmp_path: Path) -> None:
    with launched(command, tmp_path / "server.log") as still_starting:
        still_starting()
        assert guards() == []
    assert list(tmp_path.iterdir()) == []


def writes_its_number(pids: Path) -> str:
    return python(f"import os, time; print(os.getpid(), file=open({str(pids)!r}, 'w'), flush=True); time.sleep(600)")


def test_a_server_is_stopped_at_the_end(tmp_path: Path) -> None:
    with launched(writes_its_number(tmp_path / "pids"), tmp_path / "server.log"):
        [pid] = numbers_in(tmp_path / "pids", 1)
        assert alive(pid)
    assert not alive(pid)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_server_is_stopped_when_the_block_raises(error: type[BaseException], tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(error), launched(writes_its_number(pids), tmp_path / "server.log"):
        raise error(numbers_in(pids, 1))
    assert not alive(int(pids.read_text()))


def test_a_server_gets_the_time_to_stop_by_itself(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    code = (
        "import signal, sys, time\n"
        "def stop(*_):\n    time.sleep(0.3); print('tidied up', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop); print('started', flush=True); time.sleep(600)"
    )
    with launched(python(code), log):
        wait_until(lambda: "started" in log.read_text())
    assert log.read_text() == "started\ntidied up\n"


def test_nothing_of_a_tree_of_processes_is_left(tmp_path: Path) -> None:
    with launched(shell(TREE, tmp_path / "pids"), tmp_path / "server.log"):
        started = numbers_in(tmp_path / "pids", 3)
        assert all(map(alive, started))
    assert not any(map(alive, started))


def test_a_server_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    with set_testing(stop_grace_s=1.0), launched(shell(STUBBORN, tmp_path / "pids"), tmp_path / "server.log"):
        [pid] = numbers_in(tmp_path / "pids", 1)
    assert not alive(pid)


def test_what_a_command_leaves_in_the_background_is_ended_with_it(tmp_path: Path) -> None:
    pids, log = tmp_path / "pids", tmp_path / "server.log"
    with launched(shell("sleep 600 & echo $! >> $1", pids), log) as still_starting:
        [pid] = numbers_in(pids, 1)
        wait_until(lambda: not alive(pid))
        with pytest.raises(LaunchFailedError):
            wait_until(still_starting)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_when_the_parent_is_killed(number: signal.Signals, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import pathlib, signal, sys, time\nfrom shapebench.probe.launch import launched\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # which nohup has everybody ignore
        "with launched(sys.argv[1], pathlib.Path(sys.argv[2])):\n    time.sleep(600)"
    )
    arguments = [shell(TREE, pids), str(tmp_path / "server.log")]
    with subprocess.Popen([sys.executable, "-c", code, *arguments]) as parent:
        started = numbers_in(pids, 3)
        started += [guard.pid for guard in guards(parent.pid)]
        os.kill(parent.pid, number)
        wait_until(lambda: not any(map(alive, started)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_nothing_is_left_when_the_guard_is_signalled(number: signal.Signals, tmp_path: Path) -> None:
    with launched(writes_its_number(tmp_path / "pids"), tmp_path / "server.log"):
        [pid] = numbers_in(tmp_path / "pids", 1)
        [guard] = guards()
        guard.send_signal(number)
        guard.send_signal(number)
        wait_until(lambda: not alive(pid))


def died(command: str, log: Path) -> LaunchFailedError:
    """What is raised of a server that ends by itself."""
    with launched(command, log) as still_starting, pytest.raises(LaunchFailedError) as raised:
        wait_until(still_starting)
    return raised.value


def test_a_server_that_ended_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    code = "import sys; print(*range(100), sep='\\n'); print('CUDA out of memory'); sys.exit(3)"
    error = died(python(code), tmp_path / "server.log")
    assert "ended with code 3" in error.problem
    assert "| CUDA out of memory" in error.problem
    assert "| 99" in error.problem
    assert "| 7\n" not in error.problem
    assert str(tmp_path / "server.log") in error.remedy


def test_a_server_that_was_killed_ended_with_a_shell_s_code_for_it(tmp_path: Path) -> None:
    error = died(python("import os; os.kill(os.getpid(), 9)"), tmp_path / "server.log")
    assert "ended with code 137" in error.problem


def test_a_command_that_does_not_exist_is_an_error_that_names_it(tmp_path: Path) -> None:
    error = died("no-such-server --port 1", tmp_path / "server.log")
    assert "cannot start no-such-server: No such file or directory" in error.problem


def test_a_command_with_a_quote_too_many_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LaunchCommandError, match="No closing quotation"), launched("serve 'x", tmp_path / "server.log"):
        pass


def test_a_server_is_not_launched_where_another_one_answers(tmp_path: Path) -> None:
    with running_simulator("fast") as url:
        endpoint = Endpoint(url=url, model="m", launch=python(FOREVER))
        with pytest.raises(AddressInUseError, match="answers at"), serving(endpoint, tmp_path / "server.log"):
            pass
    assert not (tmp_path / "server.log").exists()


def test_the_log_and_the_error_of_a_server_are_redacted(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    command = python("print('api_key=hush', flush=True); raise SystemExit(2)") + " --api-key hush hush2"
    with pytest.raises(LaunchFailedError) as error, launched(command, log) as still_starting:
        wait_until(still_starting)
    assert "hush" not in str(error.value)
    assert log.read_text() == "api_key=…\n"


def test_a_command_that_was_saved_without_its_secrets_is_refused_with_a_remedy(tmp_path: Path) -> None:
    endpoint = Endpoint(url="http://127.0.0.1:9", model="m", launch="vllm serve m --api-key …")
    with (
        pytest.raises(LaunchCommandError, match="saved without its secrets"),
        serving(endpoint, tmp_path / "server.log"),
    ):
        pass
