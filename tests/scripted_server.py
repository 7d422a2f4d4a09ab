"""Servers on loopback that send what real and broken ones do: from a script, or byte by byte from the test's hands."""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field

import orjson

Action = Callable[[asyncio.StreamWriter], Awaitable[None]]
Script = list[Action]  # what is done in answer to one request

TOKEN = {"id": "a-1", "choices": [{"index": 0, "delta": {"content": " he"}, "finish_reason": None}]}
USAGE = {"id": "a-1", "choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22}}


def event(content: object) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(content)


STREAM = [event(TOKEN), event(TOKEN), event(USAGE), b"data: [DONE]\n\n"]


def head(status: str = "200 OK", *headers: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *headers, "")).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


CHUNKED = head("200 OK", "Transfer-Encoding: chunked", "Content-Type: text/event-stream")
CHUNKED_ANSWER = CHUNKED + b"".join(map(chunk, STREAM)) + chunk(b"")


def error(status: str, content: object, *headers: str) -> bytes:
    """An answer with a JSON body, as vLLM sends its errors."""
    body = orjson.dumps(content)
    return head(status, f"Content-Length: {len(body)}", "Content-Type: application/json", *headers) + body


def send(data: bytes) -> Action:
    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return act


def pause(seconds: float) -> Action:
    async def act(_writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)

    return act


def until(event: asyncio.Event) -> Action:
    async def act(_writer: asyncio.StreamWriter) -> None:
        await event.wait()

    return act


def endless(data: bytes) -> Action:
    """Send the same again and again, until the client has had enough."""

    async def act(writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(0)  # or else asyncio's TLS does not get to know that the client has left

    return act


def dripped(text: bytes) -> Script:
    """Send byte after byte."""
    return [act for place in range(len(text)) for act in (send(text[place : place + 1]), pause(0))]


async def half_close(writer: asyncio.StreamWriter) -> None:
    """Say that nothing more will come, but go on to listen."""
    writer.write_eof()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close the connection, after what was sent has gone out."""
    writer.close()


async def reset(writer: asyncio.StreamWriter) -> None:
    """Close the connection with RST."""
    line: socket.socket = writer.get_extra_info("socket")
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def forever(writer: asyncio.StreamWriter) -> None:
    """Say nothing more, until the client leaves."""
    await asyncio.sleep(600)


@dataclass
class Played:
    """What the server saw."""

    url: str = ""
    server: asyncio.Server | None = None
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)  # their bodies, in the order in which they came
    heads: list[bytes] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    in_flight_at_arrival: list[int] = field(default_factory=list)  # of each request, itself included

    def begin(self, request_head: bytes, body: bytes) -> None:
        self.heads.append(request_head)
        self.requests.append(body)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.in_flight_at_arrival.append(self.in_flight)

    @property
    def prompts(self) -> list[str]:
        return [orjson.loads(body)["messages"][0]["content"] for body in self.requests]


@asynccontextmanager
async def playing(
    script_of: Callable[[int], Script], tls: ssl.SSLContext | None = None, greeting: Sequence[Action] = ()
) -> AsyncIterator[Played]:
    """Answer the n-th request, counted from 0 over all connections, with script_of(n); greet each connection first."""
    played, open_now = Played(), dict[asyncio.Task[None], asyncio.StreamWriter]()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        played.connections += 1
        open_now[asyncio.create_task(_serve(reader, writer, script_of, played, greeting))] = writer

    played.server = server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=tls)
    played.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield played
    finally:
        for _ in range(10):  # turns of the loop, in which those that came last are begun to be served
            await asyncio.sleep(0)
        server.close()  # asyncio loses the sockets of those that were accepted, but not yet served
        for task, writer in open_now.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*open_now, return_exceptions=True)
        async with asyncio.timeout(20):
            while server._active_count:  # noqa: ASYNC110 - those whose handshake has not ended are known to nobody else
                await asyncio.sleep(0.001)


@contextmanager
def served(
    script_of: Callable[[int], Script], tls: ssl.SSLContext | None = None, greeting: Sequence[Action] = ()
) -> Iterator[Played]:
    """The same in a thread of its own, for a test that has its own thread to do."""
    begun: Future[Played] = Future()
    over: asyncio.Event
    loop: asyncio.AbstractEventLoop

    async def play() -> None:
        nonlocal over, loop
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        async with playing(script_of, tls, greeting) as played:
            begun.set_result(played)
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(play()))
    thread.start()
    try:
        yield begun.result(20)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()


async def _serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    script_of: Callable[[int], Script],
    played: Played,
    greeting: Sequence[Action],
) -> None:
    with closing(writer), suppress(ConnectionError, asyncio.IncompleteReadError):  # the client left
        for act in greeting:
            await act(writer)
        while not writer.is_closing():
            request_head = await reader.readuntil(b"\r\n\r\n")
            played.begin(request_head, await reader.readexactly(_length(request_head)))
            try:
                for act in script_of(len(played.requests) - 1):
                    await act(writer)
            finally:
                played.in_flight -= 1


def _length(request_head: bytes) -> int:
    lines = request_head.lower().split(b"\r\n")
    return next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))


class ByHand:
    """A server for one connection, in the test's own thread: it does what the test says, when the test says so."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = tls.wrap_bio(self._incoming, self._outgoing, server_side=True) if tls else None
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent_bytes = 0

    def accept(self) -> None:
        """Take the connection that is being made."""
        self.line, _ = self._listener.accept()
        self.line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.line.setblocking(False)

    def shake_hands(self) -> bool:
        """Go on with the handshake as far as what has come allows; True when it is done."""
        if self._session is None:
            return True
        self._take()
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self.put(self._outgoing.read())
        return True

    def hear(self, count: int) -> bytes:
        """Wait for so many bytes from the client."""
        heard = b""
        while len(heard) < count:
            heard += self._hear()
        return heard

    def _hear(self) -> bytes:
        if self._session is None:
            with suppress(BlockingIOError):
                return self.line.recv(1 << 16)
            return b""
        self._take()
        with suppress(ssl.SSLWantReadError):
            return self._session.read(1 << 16)
        return b""

    def _take(self) -> None:
        with suppress(BlockingIOError):
            self._incoming.write(self.line.recv(1 << 16))

    def sealed(self, text: bytes) -> bytes:
        """The bytes that carry the text, which have to be sent in this order."""
        if self._session is None:
            return text
        self._session.write(text)
        return self._outgoing.read()

    def farewell(self) -> bytes:
        """What says that nothing more will come; on plain TCP only the end of the connection does."""
        with suppress(ssl.SSLWantReadError):  # the client's farewell is not waited for
            if self._session:
                self._session.unwrap()
        return self._outgoing.read()

    def put(self, sealed: bytes) -> None:
        self.line.sendall(sealed)
        self.sent_bytes += len(sealed)

    def send(self, text: bytes) -> None:
        self.put(self.sealed(text))

    def close(self) -> None:
        self.line.close()
        self._listener.close()
