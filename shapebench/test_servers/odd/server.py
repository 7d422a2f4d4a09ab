"""The odd server as a process, or in a thread of a test."""

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from shapebench.errors import ShapebenchError
from shapebench.support.timestamps import clock_ns
from shapebench.test_servers.listener import listening
from shapebench.test_servers.odd.http import Reply, read_request
from shapebench.test_servers.odd.options import as_words
from shapebench.test_servers.odd.routes import Routes
from shapebench.test_servers.odd.truth import truth_of
from shapebench.test_servers.reference import truth

_MAX_HEAD_BYTES = 1 << 20
_LEFT = (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError, ValueError)


def serve(routes: Routes, port: int, log: Path | None, tls: ssl.SSLContext | None, *, until_eof: bool) -> None:
    """Serve on 127.0.0.1 until SIGTERM or SIGINT, or the end of standard input; port 0 is any free one.

    It prints a line with its URL when it is ready.
    """
    with truth.opened(log) as written, listening(port) as listener:
        server = Server(routes, written)
        scheme, oddities = "https" if tls else "http", " ".join(as_words(routes.oddities)) or "usual"

        async def run() -> None:
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, server.stop)
            if until_eof:
                _call_at_eof(0, server.stop)
            print(f"Server ready on {scheme}://127.0.0.1:{listener.getsockname()[1]} ({oddities})", flush=True)
            await server.run(listener, tls)

        asyncio.run(run())


def tls_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Read a certificate and its key, which may be in the same file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        raise ShapebenchError(
            f"Cannot read the certificate {certificate}: {error}", "Name files in PEM form, with --cert and --key."
        ) from None
    return context


def _call_at_eof(fd: int, stop: Callable[[], None]) -> None:
    """Call when the other end of this pipe is closed."""

    def look() -> None:
        if not os.read(fd, 4096):
            stop()

    try:
        asyncio.get_running_loop().add_reader(fd, look)
    except PermissionError:  # a file, as /dev/null is, cannot be watched: it has no other end
        stop()


class Server:
    """Takes connections, and sends each reply at its times."""

    def __init__(self, routes: Routes, log: truth.Log) -> None:
        self._routes, self._log = routes, log
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    async def run(self, listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Serve until stopped; answers in progress then are aborted."""
        server = await asyncio.start_server(self._begin, sock=listener, ssl=tls, limit=_MAX_HEAD_BYTES)
        await self._stopped.wait()
        server.close()
        for task, writer in self._open.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._converse(reader, writer))
        self._open[task] = writer
        task.add_done_callback(self._open.pop)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(*_LEFT):
            while True:
                request = await read_request(reader)
                reply = self._routes.respond(request)
                await self._send(writer, reply, clock_ns())
                if request.is_last or (reply.answer and reply.answer[1].cut):
                    return

    async def _send(self, writer: asyncio.StreamWriter, reply: Reply, received_ns: int) -> None:
        sent_ns = list[int]()
        try:
            writer.write(reply.head)
            for at_s, piece in reply.pieces:
                await _until(received_ns + round(1e9 * at_s))
                sent_ns.append(clock_ns())
                writer.write(reply.framed(piece))
                await writer.drain()
            if not (reply.answer and reply.answer[1].cut):
                writer.write(reply.end)
        finally:
            if reply.answer:
                self._log.add(truth_of(*reply.answer, received_ns, sent_ns))
                self._log.write_all()


async def _until(due_ns: int) -> None:
    if (wait_s := (due_ns - clock_ns()) / 1e9) > 0:
        await asyncio.sleep(wait_s)
