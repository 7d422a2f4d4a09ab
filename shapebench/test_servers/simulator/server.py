"""The simulator as a server process."""

import signal
import socket
from asyncio import Transport
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shapebench.test_servers.listener import listening
from shapebench.test_servers.simulator import truth
from shapebench.test_servers.simulator.app import App
from shapebench.test_servers.simulator.faults import HONEST, Faults
from shapebench.test_servers.simulator.faulty import FaultyApp
from shapebench.test_servers.simulator.presets import Preset

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _WritesAtOnce(HttpToolsProtocol):
    """A protocol that passes each write to the kernel at once.

    uvloop would delay it until all other tasks have run, which with many streams is milliseconds after the time in the
    log.
    """

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        transport.set_write_buffer_limits(high=0)
        super().connection_made(transport)


class _Server(uvicorn.Server):
    """A server that prints when it is ready."""

    ready_line: str

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self.ready_line, flush=True)


def serve(preset: Preset, port: int, log: Path | None, api_key: str | None, faults: Faults = HONEST) -> None:
    """Serve on 127.0.0.1 until SIGTERM or SIGINT; port 0 is any free one. Prints a line with the URL when ready."""
    with truth.opened(log) as write, listening(port) as listener, _ending_quietly():
        app = App(preset, write, api_key) if faults == HONEST else FaultyApp(preset, faults, write, api_key)
        server = _Server(_config(app))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.ready_line = f"Simulator ready on {url} (preset {preset.name}, model {preset.model})"
        server.ready_line += f" with faults: {faults}" * (faults != HONEST)
        server.run(sockets=[listener])


def _config(app: App) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=_WritesAtOnce,
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        timeout_graceful_shutdown=0,
    )


@contextmanager
def _ending_quietly() -> Iterator[None]:
    """Ignore the signal that uvicorn raises once more when it has stopped."""

    def ignore(*_: object) -> None:
        """The server has stopped."""

    before = {number: signal.signal(number, ignore) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
