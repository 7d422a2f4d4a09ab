"""Prefect server for one run, if none is set: started first, so that it is ready when the imports are done.

Prefect would start one itself, but only after importing the server's own code into this process: seconds, in which
nothing else happens. And a run that is killed would leave it behind.
"""

import atexit
import os
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from socket import socket

import httpx

from shapebench.errors import ShapebenchError
from shapebench.probe.launch import launched

LOOPBACK = "127.0.0.1"
SET_SERVER_TIMEOUT_S = 5
START_TIMEOUT_S = 120  # the first start creates Prefect's database
# What Prefect sets for a server that it starts for a run.
MARKS = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}


class PrefectServerError(ShapebenchError):
    """The Prefect server of this run did not start, or the one that is set cannot be reached."""


def start() -> Callable[[], None]:
    """Start a server that lasts as long as this process, unless one is set; return a function that waits for it."""
    if _might_be_set():
        return _wait_for_set_server
    address = f"http://{LOOPBACK}:{free_port()}"
    until_exit = ExitStack()
    atexit.register(until_exit.close)  # registered before Prefect's own, and so done after they have sent what is left
    os.environ |= MARKS
    _reach_without_proxy(LOOPBACK)
    try:
        _home().mkdir(parents=True, exist_ok=True)
        still_starting = until_exit.enter_context(launched(_command(address), _home() / "shapebench-server.log"))
    except OSError as error:
        raise PrefectServerError(
            f"Prefect's home folder {_home()} cannot be written to: {error.strerror}.",
            "Set PREFECT_HOME to a folder that can be written to.",
        ) from None
    os.environ["PREFECT_API_URL"] = f"{address}/api"
    return lambda: _wait_for(f"{address}/api/health", still_starting)


def _might_be_set() -> bool:
    """Look for an address in the places where Prefect looks; its own settings take seconds to import.

    Where one of them only looks like it, Prefect starts a server itself, later.
    """
    marks = {
        _home() / "profiles.toml": "PREFECT_API_URL",
        Path(".env"): "PREFECT_API_URL",
        Path("prefect.toml"): "api",
        Path("pyproject.toml"): "tool.prefect",
    }
    return bool(os.environ.get("PREFECT_API_URL")) or any(
        file.is_file() and mark in file.read_text(encoding="utf-8") for file, mark in marks.items()
    )


def _home() -> Path:
    return Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()


def _command(address: str) -> str:
    prefect = find_spec("prefect")
    assert prefect
    assert prefect.origin
    port = address.rpartition(":")[2]
    words = ("-m", "uvicorn", "--app-dir", str(Path(prefect.origin).parent), "--factory")
    app = ("prefect.server.api.server:create_app", "--host", "127.0.0.1", "--port", port, "--log-level", "error")
    return shlex.join([sys.executable, *words, *app])


def free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _reach_without_proxy(host: str) -> None:
    """Exempt a host from HTTP_PROXY and the like; if both are set, the lower-case variable takes precedence."""
    for name in ("no_proxy", "NO_PROXY"):
        hosts = os.environ.get(name) or os.environ.get(name.swapcase()) or ""
        os.environ[name] = ",".join((*filter(None, (one.strip() for one in hosts.split(","))), host))


def _wait_for_set_server() -> None:
    """Wait a moment for the configured server; raises PrefectServerError if nothing listens at its address."""
    from prefect.settings import get_current_settings  # imported by the flow: it takes seconds

    url = get_current_settings().api.url
    deadline_s = time.monotonic() + SET_SERVER_TIMEOUT_S
    while url:
        try:
            httpx.get(f"{url}/health", verify=False, timeout=5)  # noqa: S501 - whatever it answers, it is there
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if time.monotonic() > deadline_s:
                raise PrefectServerError(
                    f"The Prefect API at {url} does not answer: {error}",
                    "Start it (`prefect server start`), correct PREFECT_API_URL, or unset it to run without a server.",
                ) from None
            time.sleep(0.5)
        except (httpx.HTTPError, httpx.InvalidURL):  # what it is, Prefect will say
            return
        else:
            return


def _wait_for(url: str, still_starting: Callable[[], None]) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not _answers(url):
        still_starting()
        if time.monotonic() > deadline_s:
            raise PrefectServerError(
                f"The Prefect server for this run did not answer within {START_TIMEOUT_S} s.",
                "The machine may be overloaded. Start a server (`prefect server start`) and set PREFECT_API_URL.",
            )
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
