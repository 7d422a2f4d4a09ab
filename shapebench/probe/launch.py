"""Launching the server that a spec describes: it is logged, and stopped whatever happens."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shapebench.probe.client import Client, EndpointError, EndpointUnreachableError, HostNotFoundError
from shapebench.spec.model import Endpoint
from shapebench.support.atomic_file import atomic_write
from shapebench.support.redact import REDACTED, redact

STOP_TIMEOUT_S = 30
LOG_LINES = 15


class LaunchCommandError(EndpointError):
    """The launch command cannot be understood."""


class LaunchFailedError(EndpointError):
    """The launched server ended instead of becoming healthy."""


class AddressInUseError(EndpointError):
    """Another server answers where the launched one is to listen."""


@contextmanager
def serving(endpoint: Endpoint, log: Path) -> Iterator[Callable[[], None]]:
    """Run the endpoint's own server while the block runs, if the spec says how; see `launched`."""
    if endpoint.launch:
        _refuse_if_redacted(endpoint.launch)
        _refuse_if_taken(endpoint)
    with launched(endpoint.launch, log) as still_starting:
        yield still_starting


def _refuse_if_redacted(command: str) -> None:
    if REDACTED in command:
        raise LaunchCommandError(
            f"The launch command was saved without its secrets: {command}",
            "Write the whole command into endpoint.launch in run.json before the run is resumed; next time, put the "
            "secrets into environment variables, which the server inherits.",
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
        f"Something answers at {endpoint.url} already, before endpoint.launch has started anything.",
        "Stop it, or give another port; or leave endpoint.launch out, to measure what runs there.",
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
    """Redact what the server wrote: vLLM prints its arguments, its API key among them."""
    with (
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
            f"endpoint.launch is no command line ({error}): {redact(command)}", "Quote it as in a POSIX shell."
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
    process.stdin.close()  # the guard takes this as the end
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
