"""One connection: a request goes out, and each piece of the answer is stamped before anything looks at it.

`Connection` is the seam: whatever has its methods with their meanings can carry the load.
"""

import asyncio
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools

from shapebench.load.plan import Target
from shapebench.load.sse import Piece

clock_ns = time.time_ns  # CLOCK_REALTIME, the clock of the kernel's receive time stamps
TIMESTAMPS = "user"

Fault = tuple[str, str]  # a word for its kind, and a message


@dataclass
class Answer:
    """What came back, not interpreted; `fault` says where the exchange broke."""

    sent_ns: int
    status: int | None = None
    pieces: list[Piece] = field(default_factory=list)
    ended_ns: int | None = None
    fault: Fault | None = None

    @property
    def body(self) -> bytes:
        return b"".join(data for _, data in self.pieces)


class Connection:
    """A keep-alive HTTP/1.1 connection that is opened anew when it has been closed."""

    def __init__(self, target: Target) -> None:
        url = urlsplit(target.url)
        self._host = url.hostname or ""
        self._tls = _tls(target) if url.scheme == "https" else None
        self._port = url.port or (443 if self._tls else 80)
        self._socket: _Socket | None = None

    async def exchange(self, request: bytes, timeout_s: float) -> Answer:
        """Send a request and wait for its whole answer; never raises, the answer's `fault` says what broke."""
        answer, retry = await self._attempt(request, timeout_s)
        if retry:  # the server closed an idle connection while the request was on its way: nobody's error
            answer, _ = await self._attempt(request, timeout_s)
        return answer

    async def _attempt(self, request: bytes, timeout_s: float) -> tuple[Answer, bool]:
        try:
            async with asyncio.timeout(timeout_s):
                line = await self._connected()
        except OSError as error:  # TimeoutError is one
            now_ns = clock_ns()
            return Answer(now_ns, ended_ns=now_ns, fault=_connect_fault(error)), False
        reused = line.answers > 0
        pending = line.begin(request)
        late = ("timeout", f"no complete answer within {timeout_s:g} s")
        timer = asyncio.get_running_loop().call_later(timeout_s, line.abort, late)
        answer = await pending
        timer.cancel()
        stale = reused and answer.status is None and answer.fault is not None and answer.fault[0] == "reset"
        return answer, stale

    async def _connected(self) -> "_Socket":
        if self._socket is None or not self._socket.usable:
            self.close()
            loop = asyncio.get_running_loop()
            _, self._socket = await loop.create_connection(_Socket, self._host, self._port, ssl=self._tls)
        return self._socket

    def close(self) -> None:
        """Drop the connection; a request in flight ends as a fault."""
        if self._socket:
            self._socket.abort(("interrupted", "the measurement was stopped"))
            self._socket = None


def _tls(target: Target) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=target.ca_file)
    if not target.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


CONNECT_FAULTS: dict[type[OSError], str] = {ssl.SSLError: "tls", socket.gaierror: "dns", TimeoutError: "timeout"}


def _connect_fault(error: OSError) -> Fault:
    return CONNECT_FAULTS.get(type(error), "tls" if isinstance(error, ssl.SSLError) else "connection"), str(error)


class _Socket(asyncio.Protocol):
    """Carries one exchange after the other; httptools calls its on_… methods."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.usable = True
        self.answers = 0
        self._answer: Answer | None = None
        self._now_ns = 0

    def begin(self, request: bytes) -> asyncio.Future[Answer]:
        self._parser = httptools.HttpResponseParser(self)
        self._framed = False
        self._done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answer = Answer(sent_ns=clock_ns())
        self.transport.write(request)
        return self._done

    def abort(self, fault: Fault) -> None:
        self._now_ns = clock_ns()
        self._finish(fault)
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._now_ns = clock_ns()
        if self._answer is None:
            self.usable = False  # nobody asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._finish(("malformed", f"not HTTP: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        self._now_ns = clock_ns()
        if self._answer and self._answer.status and not self._framed and exc is None:
            self._finish(None)  # without a length, an answer ends where the connection does
        else:
            self._finish(("reset", str(exc or "the server closed the connection before the answer was complete")))

    def on_header(self, name: bytes, _value: bytes) -> None:
        self._framed = self._framed or name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        if self._answer:
            self._answer.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if self._answer:
            self._answer.pieces.append((self._now_ns, body))

    def on_message_complete(self) -> None:
        if self._answer and self._answer.status == 100:  # "100 Continue" only announces the answer
            self._answer.status = None
            return
        self.usable = self.usable and self._parser.should_keep_alive()
        self._finish(None)

    def _finish(self, fault: Fault | None) -> None:
        answer, self._answer = self._answer, None
        if answer is None:
            return
        answer.ended_ns, answer.fault = self._now_ns, fault
        self.answers += 1
        self.usable = self.usable and fault is None
        self._done.set_result(answer)
