"""HTTP requests while they are parsed."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Request:
    """One request, growing as its bytes come in; the methods are those that httptools calls."""

    url: bytes = b""
    headers: dict[bytes, bytes] = field(default_factory=dict)  # all in lower case
    body: bytearray = field(default_factory=bytearray)
    held_back: bool = False  # the client sends the body when it is told to continue
    complete: bool = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value.lower()

    def on_headers_complete(self) -> None:
        self.held_back = self.headers.get(b"expect") == b"100-continue"

    def on_body(self, body: bytes) -> None:
        self.held_back = False
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True

    @property
    def path(self) -> bytes:
        return self.url.partition(b"?")[0]

    @property
    def is_last(self) -> bool:
        """True where the client wants the connection closed after the answer."""
        return self.headers.get(b"connection") == b"close"
