"""Requests and replies as the odd server's routes see them, and their bytes."""

from asyncio import StreamReader
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

import orjson

from shapebench.test_servers.odd.answers import JSON, Written
from shapebench.test_servers.odd.asked import Asked

TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Request:
    """One request; the names of its headers are in lower case."""

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)

    @property
    def is_last(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"


@dataclass(frozen=True)
class Reply:
    """A reply in pieces; one that is not streamed has a single piece, its body."""

    pieces: list[tuple[float, bytes]]
    status: int = 200
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    streamed: bool = False
    answer: tuple[Asked, Written] | None = None

    @property
    def head(self) -> bytes:
        length = {"transfer-encoding": "chunked"} if self.streamed else {"content-length": len(self.pieces[0][1])}
        lines = {"content-type": self.content_type, **length, **self.headers}
        first = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"
        return "".join(f"{line}\r\n" for line in (first, *(f"{a}: {b}" for a, b in lines.items()), "")).encode()

    def framed(self, piece: bytes) -> bytes:
        """Frame a piece as a chunk of HTTP's chunked encoding, where the reply is streamed."""
        return b"%x\r\n%b\r\n" % (len(piece), piece) if self.streamed else piece

    @property
    def end(self) -> bytes:
        return b"0\r\n\r\n" if self.streamed else b""


def json_reply(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    return Reply([(0.0, orjson.dumps(content))], status, headers=headers or {})


def text_reply(text: str, status: int = 200) -> Reply:
    return Reply([(0.0, text.encode())], status, TEXT)


async def read_request(reader: StreamReader) -> Request:
    """Read the next request; raises IncompleteReadError where the client has left."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    named = (line.partition(":") for line in lines if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in named}
    return Request(method, target, headers, await reader.readexactly(int(headers.get("content-length", "0"))))
