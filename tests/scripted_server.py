"""A server on loopback that plays a script: bytes, pauses and resets, as real servers and broken ones send them."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
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


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close the connection, after what was sent has gone out."""
    writer.close()


async def reset(writer: asyncio.StreamWriter) -> None:
    """Close the connection with RST."""
    line: socket.socket = writer.get_extra_info("socket")
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@dataclass
class Played:
    """What the server saw."""

    url: str = ""
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
async def playing(script_of: Callable[[int], Script], tls: ssl.SSLContext | None = None) -> AsyncIterator[Played]:
    """Answer the n-th request, counted from 0 over all connections, with script_of(n)."""
    played, open_now = Played(), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        played.connections += 1
        task = asyncio.current_task()
        assert task is not None
        open_now.add(task)
        try:
            await _serve(reader, writer, script_of, played)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or the test is over
        finally:
            open_now.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    played.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield played
    finally:
        server.close()
        for task in list(open_now):
            task.cancel()
        if open_now:
            await asyncio.wait(open_now)
        await server.wait_closed()


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, script_of: Callable[[int], Script], played: Played
) -> None:
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
