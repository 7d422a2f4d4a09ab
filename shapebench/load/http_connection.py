"""HTTP connection: sends a request, and timestamps each piece of the answer before it is parsed.

Any class with the methods of `Connection` can carry the load.
"""

import errno
import os
import socket
import ssl
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import httptools

from shapebench.apis.chunk_interning import ChunkInterner
from shapebench.apis.stream_reader import Piece
from shapebench.probe.route import Fault, Route, fault_of
from shapebench.support.event_loop import Callback, EventLoop
from shapebench.support.timestamps import Receive, Stamps, clock_ns

STALE_NS = 100_000_000  # a round trip, with room; a server that works for longer has taken the request
MAX_HEAD_BYTES = 1 << 18

INTERRUPTED: Fault = ("interrupted", "the measurement was stopped")
KEPT_HEADERS = frozenset((b"location", b"retry-after"))  # they say what to do about a refusal


@dataclass(slots=True)
class Answer:
    """Response as received, not interpreted; `fault` is the reason if the exchange failed."""

    sent_ns: int
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)  # those of KEPT_HEADERS
    received: list[bytes] = field(default_factory=list)  # its body, in pieces
    arrivals_ns: "array[int]" = field(default_factory=partial(array, "q"))  # of each of them
    lengths: "array[int]" = field(default_factory=partial(array, "i"))  # in bytes, as they came
    ended_ns: int | None = None
    fault: Fault | None = None
    resent: bool = False  # the server had closed the connection before the request came
    server_address: str | None = None

    @property
    def pieces(self) -> Iterator[Piece]:
        return zip(self.arrivals_ns, self.received, self.lengths, strict=True)

    @property
    def body(self) -> bytes:
        return b"".join(self.received)


class Connection:
    """A keep-alive HTTP/1.1 connection that is opened again when it has been closed; httptools calls its on_… methods.

    One exchange at a time: `send` begins it, and `done` is called with its answer, in the same iteration of the event
    loop in which it ends. Nothing is raised: errors are in the answer's `fault`.
    """

    done: Callable[[Answer], None]

    # Slots, since what each token touches, for each of a thousand streams, is more than a core's cache holds otherwise.
    __slots__ = (
        *(
            "done",
            "_interns",
            "_first_address",
            "_loop",
            "_route",
            "_stamps",
            "_socket",
            "_tls",
            "_opening",
            "_wanted",
            "_address",
            "_answers",
        ),
        *("_asked_s", "_request", "_limit_bytes", "_unsent", "_broken", "_answer"),
        *("_receive", "_now_ns", "_parser", "_alike", "_framed", "_complete", "_kept", "_received_bytes"),
    )

    def __init__(self, loop: EventLoop, route: Route, stamps: Stamps, number: int = 0, *, interns: bool = True) -> None:
        """Connections of different numbers begin at different addresses of the host; without interning texts remain."""
        self._loop = loop
        self._interns = interns
        self._route = route
        self._stamps = stamps
        self._socket: socket.socket | None = None
        self._tls: _Tls | None = None
        self._opening = False
        self._wanted = False
        self._first_address = self._address = number % route.balanced  # which of the route's is used
        self._answers = 0  # on this socket
        self._asked_s = 0.0  # monotonic clock
        self._request = b""
        self._limit_bytes = 0
        self._unsent = b""
        self._broken: OSError | None = None  # what kept the request from being sent in full
        self._answer: Answer | None = None

    # What the owner calls

    @property
    def open(self) -> bool:
        return self._socket is not None and not self._opening

    @property
    def opening(self) -> bool:
        return self._wanted and not self.open

    @property
    def answer(self) -> Answer | None:
        """The answer of the exchange in progress, so far."""
        return self._answer

    @property
    def waited_s(self) -> float:
        """The time since the exchange was begun."""
        return time.monotonic() - self._asked_s

    def connect(self) -> None:
        """Open before the first request; an error is reported only if the first request fails, too."""
        self._wanted = True
        self._loop.call_soon(self._open)

    def send(self, request: bytes, limit_bytes: int) -> None:
        """Begin an exchange; an answer of more than `limit_bytes` is aborted."""
        self._request, self._limit_bytes = request, limit_bytes
        self._answer, self._wanted, self._asked_s = Answer(clock_ns()), True, time.monotonic()
        if self.open and self._answers and not self._is_quiet():
            self._close()
        if self.open:
            self._begin()
        elif not self._opening:
            self._loop.call_soon(self._open)

    def abort(self, fault: Fault) -> None:
        """Abort the exchange in progress, and close the connection."""
        self._wanted = False
        self._close()
        self._finish(fault)

    def close(self) -> None:
        self.abort(INTERRUPTED)

    # Opening

    def _open(self) -> None:
        if self._socket or not self._wanted:
            return
        if self._route.fault:
            self._finish(self._route.fault)
            return
        family, address = self._route.addresses[self._address]
        try:
            self._socket = socket.socket(family, socket.SOCK_STREAM)
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._receive = self._stamps.receiver(self._socket)
            error = self._socket.connect_ex(address)
        except OSError as fault:
            self._cannot_connect(fault)
            return
        self._opening, self._answers, self._unsent, self._broken = True, 0, b"", None
        self._loop.watch(self._socket.fileno(), self._on_connected, write=True)
        if error not in (0, errno.EINPROGRESS):
            self._cannot_connect(OSError(error, os.strerror(error)))

    def _on_connected(self) -> None:
        line = self._line
        if error := line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._cannot_connect(OSError(error, os.strerror(error)))
        elif self._route.tls:
            on_end = partial(line.shutdown, socket.SHUT_RD)
            self._tls = _Tls(self._route.tls, self._route.host, self._receive, on_end)
            self._receive = self._tls.receive
            self._loop.watch(line.fileno(), self._on_handshake)
            self._on_handshake()
        else:
            self._opened()

    def _on_handshake(self) -> None:
        assert self._tls
        try:
            shaken = self._tls.shake_hands()
            self._write(self._tls.to_send())
        except BlockingIOError:
            return
        except (OSError, ValueError) as error:
            self._cannot_connect(error)
        else:
            if shaken:
                self._opened()

    def _opened(self) -> None:
        self._opening = False
        self._watch(write=bool(self._unsent))
        if self._answer:
            self._begin()

    def _cannot_connect(self, error: Exception) -> None:
        """Try the host's next address; after the last, the exchange has failed."""
        self._close()
        self._address = (self._address + 1) % len(self._route.addresses)
        if self._address != self._first_address:
            self._loop.call_soon(self._open)
        else:
            self._finish(fault_of(error))

    # Sending

    def _begin(self) -> None:
        answer = self._answer
        assert answer
        self._parser = httptools.HttpResponseParser(self)
        self._alike = ChunkInterner(learns=self._interns)
        self._framed = self._complete = self._kept = False
        self._received_bytes = 0
        request = self._tls.seal(self._request) if self._tls else self._request
        answer.server_address = self._route.names[self._address]
        answer.sent_ns = clock_ns()
        self._write(request)
        if self._unsent:
            self._watch(write=True)

    def _is_quiet(self) -> bool:
        """Check that no unrequested bytes wait, which would be mistaken for the next answer."""
        try:
            self._line.recv(1, socket.MSG_PEEK)
        except OSError as error:
            return isinstance(error, BlockingIOError)
        return False

    def _write(self, data: bytes) -> None:
        self._unsent += data
        try:
            sent = self._line.send(self._unsent) if self._unsent else 0
        except BlockingIOError:
            return
        except OSError as error:
            if self._opening:
                raise
            self._unsent, self._broken = b"", error  # what was answered before is still to be read, and then the end
            return
        self._unsent = self._unsent[sent:]

    def _on_ready_both_ways(self) -> None:
        """Send the rest of a request that the kernel did not take at once; the answer may come before its end."""
        self._write(b"")
        if not self._unsent:
            self._watch(write=False)
        self._on_readable()

    def _watch(self, *, write: bool) -> None:
        handler = self._on_ready_both_ways if write else self._on_readable
        self._loop.watch(self._line.fileno(), handler, write=write)

    # Receiving

    def _on_readable(self) -> None:
        try:
            data, self._now_ns = self._receive()
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(error)
            return
        if not (data and self._answer):
            self._lost(self._broken)  # unrequested bytes make the connection useless
            return
        fault: Fault | None = None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            fault = "malformed", f"not HTTP: {error}"
        self._received_bytes += len(data)
        if fault or self._complete or self._received_bytes > MAX_HEAD_BYTES:
            self._parsed(fault, self._answer)

    def _parsed(self, fault: Fault | None, answer: Answer) -> None:
        """End the exchange after the parser has returned, since it may report more from the same bytes."""
        if self._complete:
            if fault or self._unsent or not self._kept:
                self._close()
            self._finish(None)
        elif fault := fault or self._excess(answer):
            self.abort(fault)

    def _excess(self, answer: Answer) -> Fault | None:
        if answer.status is None:
            return "malformed", f"the answer's headers are longer than {MAX_HEAD_BYTES} bytes"
        if self._received_bytes > self._limit_bytes:
            return "too_long", f"the answer is longer than {self._limit_bytes} bytes"
        return None

    def _lost(self, error: OSError | None) -> None:
        """Handle the loss of the connection."""
        self._now_ns = clock_ns()
        answer, reused = self._answer, self._answers > 0
        self._close()
        if answer is None:
            self._wanted = False
        elif answer.status and not self._framed and error is None:
            self._finish(None)  # without a length, an answer ends where the connection does
        elif reused and not answer.resent and self._never_begun(answer):
            answer.resent = True  # it closed an idle connection while the request was on its way, which is no error
            self._loop.call_soon(self._open)
        else:
            kind = "tls" if isinstance(error, ssl.SSLError) else "reset"
            self._finish((kind, str(error or "the server closed the connection before the answer was complete")))

    def _never_begun(self, answer: Answer) -> bool:
        """Check whether the server closed the connection before the request arrived: then it has no answer at all."""
        return answer.status is None and not self._received_bytes and self._now_ns - answer.sent_ns < STALE_NS

    def _finish(self, fault: Fault | None) -> None:
        answer, self._answer = self._answer, None
        if answer is None:
            self._wanted = False
            return
        answer.ended_ns = clock_ns() if fault else self._now_ns
        answer.fault = fault
        self._answers += 1
        self.done(answer)

    def _close(self) -> None:
        if self._socket:
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()
        self._socket = self._tls = None
        self._opening = False

    @property
    def _line(self) -> socket.socket:
        assert self._socket
        return self._socket

    # What httptools has found

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._framed = self._framed or name in (b"content-length", b"transfer-encoding")
        if self._answer and not self._complete and name in KEPT_HEADERS:
            self._answer.headers[name.decode()] = value.decode("utf-8", "replace")

    def on_message_begin(self) -> None:
        if self._complete:
            self._kept = False  # an unrequested answer: what comes next could be taken for another

    def on_headers_complete(self) -> None:
        if self._answer and not self._complete:
            self._answer.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if (answer := self._answer) and not self._complete:
            answer.arrivals_ns.append(self._now_ns)
            answer.lengths.append(len(body))
            answer.received.append(self._alike.intern(body))

    def on_message_complete(self) -> None:
        if self._complete or not self._answer:
            return
        if self._answer.status and self._answer.status // 100 == 1:  # "100 Continue" only announces the answer
            self._answer.status, self._framed = None, False
        else:
            self._complete, self._kept = True, self._parser.should_keep_alive()


class _Tls:
    """TLS over bytes that are received elsewhere; plain text has the times of their arrival."""

    def __init__(self, context: ssl.SSLContext, host: str, receive: Receive, on_end: Callback) -> None:
        self._receive = receive
        self._on_end = on_end
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._begun = False

    def shake_hands(self) -> bool:
        """Continue the handshake with what has arrived; True when it is done."""
        if self._begun:
            self._take()
        self._begun = True
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def to_send(self) -> bytes:
        return self._outgoing.read()

    def seal(self, data: bytes) -> bytes:
        self._session.write(data)
        return self._outgoing.read()

    def receive(self) -> tuple[bytes, int]:
        """Return the plain text of the complete records, with the arrival of their last byte (ns)."""
        arrival_ns = self._take()
        texts = []
        try:
            while text := self._session.read(1 << 16):
                texts.append(text)
        except ssl.SSLWantReadError:
            if not texts:
                raise BlockingIOError from None
            return b"".join(texts), arrival_ns
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            pass
        if texts:
            self._on_end()  # next; a server that has announced it may leave the line open
        return b"".join(texts), arrival_ns

    def _take(self) -> int:
        data, arrival_ns = self._receive()
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return arrival_ns
