"""Connection of a client: non-blocking reads of requests and writes of answers."""

import socket
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass

import httptools

from shapebench.support.event_loop import EventLoop
from shapebench.support.timestamps import Stamps, clock_ns
from shapebench.test_servers.reference import answers
from shapebench.test_servers.reference.requests import Request


def _not_logged(_sent_ns: list[int]) -> None:
    """Log nothing, as for most answers."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The pieces of an answer, and when each is due (ns)."""

    pieces: Iterable[bytes]
    dues_ns: Iterable[int]
    log: Callable[[list[int]], object] = _not_logged  # gets when each piece was sent, even if the client disconnects
    is_last: bool = False  # the connection is closed after it


def refused(message: str, received_ns: int) -> Answer:
    """Make the answer to a malformed request."""
    return Answer((answers.refusal(message),), (received_ns,), is_last=True)


Respond = Callable[[Request, int], Answer]  # to a request, and when it was received (ns)


class Connection:
    """A connection that answers one request after another; a client that sends more meanwhile is disconnected."""

    def __init__(self, line: socket.socket, loop: EventLoop, respond: Respond, stamps: Stamps) -> None:
        line.setblocking(False)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._line, self._loop, self._respond = line, loop, respond
        self._receive = stamps.receiver(line)
        self._answer: Generator[int | None] | None = None
        self._await_request()
        loop.watch(line.fileno(), self._read)

    @property
    def is_open(self) -> bool:
        return self._line.fileno() >= 0

    def close(self) -> None:
        """Abort the answer and disconnect."""
        if self._answer:
            self._answer.close()
        self._hang_up()

    def _await_request(self) -> None:
        self._answer = None
        self._request = Request()
        self._parser = httptools.HttpRequestParser(self._request)

    def _read(self) -> None:
        try:
            data, received_ns = self._receive()
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if self._answer or not data:
            self.close()
        elif answer := self._answer_to(data, received_ns):
            self._answer = self._sending(answer)
            self._loop.run_paced(received_ns, self._answer)

    def _answer_to(self, data: bytes, received_ns: int) -> Answer | None:
        """Return the answer to the request that ends with these bytes, if one does."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            return refused(str(error), received_ns)
        if self._request.complete:
            return self._respond(self._request, received_ns)
        if self._request.held_back:
            self._request.held_back = False
            with suppress(OSError):  # a client that is gone is noticed when it is read from
                self._line.send(answers.CONTINUE)
        return None

    def _sending(self, answer: Answer) -> Generator[int | None]:
        """Send each piece when it is due, and timestamp it just before the send() of its last byte."""
        send, sent_ns = self._line.send, list[int]()
        try:
            for due_ns, piece in zip(answer.dues_ns, answer.pieces, strict=True):
                yield due_ns
                now_ns, rest = clock_ns(), _unsent(send, piece)
                while rest:
                    self._wait_for_reader()
                    yield None
                    now_ns, rest = clock_ns(), _unsent(send, rest)
                sent_ns.append(now_ns)
            self._await_request()
        except OSError:  # the client is gone
            self._hang_up()
        finally:
            answer.log(sent_ns)
        if answer.is_last:
            self._hang_up()

    def _wait_for_reader(self) -> None:
        self._loop.watch(self._line.fileno(), self._go_on, read=False, write=True)

    def _go_on(self) -> None:
        self._loop.watch(self._line.fileno(), self._read)
        if self._answer:
            self._loop.run_paced(clock_ns(), self._answer)

    def _hang_up(self) -> None:
        if self.is_open:
            self._loop.unwatch(self._line.fileno())
            self._line.close()


def _unsent(send: Callable[[bytes], int], piece: bytes) -> bytes:
    """Send, and return the bytes that did not fit."""
    try:
        return piece[send(piece) :]
    except BlockingIOError:
        return piece
