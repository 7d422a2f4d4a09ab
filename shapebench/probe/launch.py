"""Launch of the server that a spec describes: it is logged, and stopped in any case."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shapebench.probe.client import Client
from shapebench.probe.endpoint_errors import EndpointError, EndpointUnreachableError, HostNotFoundError
from shapebench.spec.model import Endpoint
from shapebench.support.atomic_file import atomic_write
from shapebench.support.redact import REDACTED, redact

STOP_TIMEOUT_S = 30
LOG_LINES = 15


class LaunchCommandError(EndpointError):
    """The launch command cannot be parsed, or was redacted."""


class LaunchFailedError(EndpointError):
    """The launched server ended instead of becoming healthy."""


class AddressInUseError(EndpointError):
    """Another server answers at the address of the launched one."""


@contextmanager
def serving(endpoint: Endpoint, log: Path) -> Iterator[Callable[[], None]]:
    """Run the endpoint's own server while the block runs, if the spec has a launch command; see `launched`."""
    if endpoint.launch:
        _refuse_if_redacted(endpoint.launch)
        _refuse_if_taken(endpoint)
    with launched(endpoint.launch, log) as still_starting:
        yield still_starting


def _refuse_if_redacted(command: str) -> None:
    if REDACTED in command:
        raise LaunchCommandError(
            f"The launch command was saved without its secrets: {command}",
            "Write the complete command into endpoint.launch in run.json before you resume the run; next time, pass "
            "secrets in environment variables, which the server inherits.",
        )


def _refuse_if_taken(endpoint: Endpoint) -> None:
    try:
        with Client(endpoint) as client:
            client.health()
    except (EndpointUnreachableError, HostNotFoundError):
        return  # nothing answers that could be mistaken for the launched server
    except EndpointError:
        pass  # something uses the port, whatever its protocol
    raise AddressInUseError(
        f"A server answers at {endpoint.url} already, before endpoint.launch was started.",
        "Stop it, or use another port; to measure the running server, omit endpoint.launch.",
    )


@contextmanager
def launched(command: str | None, log: Path) -> Iterator[Callable[[], None]]:
    """Run the server while the block runs; yields a function that raises LaunchFailedError if it has ended."""
    if not command or not command.strip():
        yield lambda: None
        return
    guard = [sys.executable, "-P", "-m", "shapebench.support.supervisor", *_words(command)]
    with log.open("wb") as output:
        # Its own session: a Ctrl-C is meant for this process, which stops the server when it is done.
        process = subprocess.Popen(
            guard, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield lambda: _raise_if_ended(process, command, log)
    finally:
        _stop(process)
        _redact_log(log)


def _redact_log(log: Path) -> None:
    """Redact the server's log: vLLM prints its arguments, including its API key."""
    with (
        suppress(FileNotFoundError),  # somebody has removed it
        atomic_write(log) as path,
        log.open(encoding="utf-8", errors="replace") as lines,
        path.open("w", encoding="utf-8") as redacted,
    ):
        redacted.writelines(map(redact, lines))


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise LaunchCommandError(
            f"endpoint.launch is not a valid command line ({error}): {redact(command)}", "Quote it as in a POSIX shell."
        ) from None


def _raise_if_ended(process: "subprocess.Popen[bytes]", command: str, log: Path) -> None:
    if (code := process.poll()) is not None:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        raise LaunchFailedError(
            "\n".join(
                [f"The launched server ended with code {code}: {redact(command)}", *(f"  | {redact(x)}" for x in lines)]
            ),
            f"Run the command by hand; its complete log is {log}.",
        )


def _stop(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin
    process.stdin.close()  # tells the guard to stop
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
