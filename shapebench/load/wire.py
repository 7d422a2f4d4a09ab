"""One connection: a request goes out, and each piece of the answer is stamped before anything looks at it.

`Connection` is the seam: whatever has its methods with their meanings can carry the load.
"""

import asyncio
import socket
import ssl
import time
from dataclasses import dataclass, field
from functools import cache
from typing import cast
from urllib.parse import urlsplit

import httptools

from shapebench.load.plan import Target
from shapebench.load.sse import Piece

clock_ns = time.time_ns  # CLOCK_REALTIME, the clock of the kernel's receive time stamps
TIMESTAMPS = "user"

STALE_NS = 100_000_000  # a round trip, with room; a server that works for longer has taken the request

Fault = tuple[str, str]  # a word for its kind, and a message
INTERRUPTED: Fault = ("interrupted", "the measurement was stopped")
KEPT_HEADERS = frozenset((b"location", b"retry-after"))  # they say what to do about a refusal


@dataclass
class Answer:
    """What came back, not interpreted; `fault` says where the exchange broke."""

    sent_ns: int
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)  # those of KEPT_HEADERS
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
        self._tls = tls_context(target.verify_tls, target.ca_file) if url.scheme == "https" else None
        self._port = url.port or (443 if self._tls else 80)
        self._socket: _Socket | None = None
        self._opening: asyncio.Task[None] | None = None
        self._stopped = False

    async def exchange(self, request: bytes, timeout_s: float) -> Answer:
        """Send a request and wait for its whole answer; never raises, the answer's `fault` says what broke."""
        answer, retry = await self._attempt(request, timeout_s)
        if retry:  # the server closed an idle connection while the request was on its way: nobody's error
            answer, _ = await self._attempt(request, timeout_s)
        return answer

    async def _attempt(self, request: bytes, timeout_s: float) -> tuple[Answer, bool]:
        begun_ns = clock_ns()
        fault = await self._open(timeout_s)
        if fault or self._socket is None:
            return Answer(begun_ns, ended_ns=clock_ns(), fault=fault), False
        line = self._socket
        reused = line.answers > 0
        pending = line.begin(request)
        late = ("timeout", f"no complete answer within {timeout_s:g} s")
        timer = asyncio.get_running_loop().call_later(timeout_s, line.abort, late)
        answer = await pending
        timer.cancel()
        return answer, reused and _never_begun(answer)

    async def _open(self, timeout_s: float) -> Fault | None:
        """See to it that there is a usable connection; gives what kept it from being made."""
        if self._socket and self._socket.usable:
            return None
        self.close()
        self._opening = asyncio.create_task(self._connect())
        await asyncio.wait((self._opening,), timeout=timeout_s)
        if self._stopped:
            return INTERRUPTED
        if not self._opening.done():
            self._opening.cancel()
            return "timeout", f"no connection within {timeout_s:g} s"
        error = self._opening.exception()
        return _connect_fault(error) if error else None

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, self._socket = await loop.create_connection(_Socket, self._host, self._port, ssl=self._tls)

    def stop(self) -> None:
        """End for good: a request in flight, or still on its way into a connection, ends as a fault."""
        self._stopped = True
        if self._opening:
            self._opening.cancel()
        self.close()

    def close(self) -> None:
        """Drop the connection; a request in flight ends as a fault."""
        if self._socket:
            self._socket.abort(INTERRUPTED)
            self._socket = None


@cache  # one for all streams: each would read hundreds of certificates
def tls_context(verify: bool, ca_file: str | None) -> ssl.SSLContext:
    """The authorities that are trusted: those of the system, or those in `ca_file`; raises OSError for a bad file."""
    context = ssl.create_default_context(cafile=ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _never_begun(answer: Answer) -> bool:
    """Was the connection closed before the request came? Then the close comes at once; later, the request was lost."""
    reset = answer.fault is not None and answer.fault[0] == "reset" and answer.status is None
    return reset and answer.ended_ns is not None and answer.ended_ns - answer.sent_ns < STALE_NS


CONNECT_FAULTS: tuple[tuple[type[Exception], str], ...] = (
    (ssl.SSLError, "tls"),
    (socket.gaierror, "dns"),
    (UnicodeError, "dns"),  # no host can have such a name
    (TimeoutError, "timeout"),
)


def _connect_fault(error: BaseException) -> Fault:
    kinds = (kind for cause, kind in CONNECT_FAULTS if isinstance(error, cause))
    return next(kinds, "connection"), str(error) or repr(error)


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
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._now_ns = clock_ns()
        if self._answer is None:
            self.usable = False  # nobody asked
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.abort(("malformed", f"not HTTP: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        self._now_ns = clock_ns()
        if self._answer and self._answer.status and not self._framed and exc is None:
            self._finish(None)  # without a length, an answer ends where the connection does
        else:
            self._finish(("reset", str(exc or "the server closed the connection before the answer was complete")))

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._framed = self._framed or name in (b"content-length", b"transfer-encoding")
        if self._answer and name in KEPT_HEADERS:
            self._answer.headers[name.decode()] = value.decode("utf-8", "replace")

    def on_headers_complete(self) -> None:
        if self._answer:
            self._answer.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if self._answer:
            self._answer.pieces.append((self._now_ns, body))

    def on_message_complete(self) -> None:
        if self._answer and self._parser.get_status_code() // 100 == 1:  # "100 Continue" only announces the answer
            self._answer.status = None
            return
        # An answer that nobody asked for: what comes next on this connection could not be told apart.
        self.usable = self.usable and self._answer is not None and self._parser.should_keep_alive()
        self._finish(None)

    def _finish(self, fault: Fault | None) -> None:
        self.usable = self.usable and fault is None
        answer, self._answer = self._answer, None
        if answer is None:
            return
        answer.ended_ns, answer.fault = self._now_ns, fault
        self.answers += 1
        if not self._done.done():  # the task that waits may have been cancelled
            self._done.set_result(answer)
