"""An HTTP server on loopback that answers what a test says, for the control plane."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Headers = dict[str, str]
Reply = tuple[int, Any] | tuple[int, Any, Headers]  # status, a text or what becomes JSON, further headers
Answers = Callable[[str, Any], Reply]  # from "GET /path" and the JSON that came

MODEL = "meta-llama/Llama-3.2-3B-Instruct"
MODELS = {"object": "list", "data": [{"id": MODEL, "owned_by": "someone", "max_model_len": 4096}]}
NOT_FOUND: Reply = (404, {"detail": "Not Found"})


def usage(prompt_tokens: int, completion_tokens: int = 2) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}}


def healthy(**changes: Reply) -> dict[str, Reply]:
    """The least that an OpenAI-compatible server answers; names such as `GET_health` put answers over it."""
    routes: dict[str, Reply] = {
        "GET /health": (200, ""),
        "GET /v1/models": (200, MODELS),
        "POST /v1/chat/completions": (200, usage(20)),
        "POST /v1/completions": (200, usage(20)),
    }
    return routes | {name.replace("_", " /", 1).replace("__", "/"): reply for name, reply in changes.items()}


def table(routes: dict[str, Reply]) -> Answers:
    return lambda route, _: routes.get(route, NOT_FOUND)


@dataclass
class Served:
    """Where the server is, and what it was asked."""

    url: str
    asked: list[tuple[str, Any]] = field(default_factory=list)
    headers: list[Headers] = field(default_factory=list)


@contextmanager
def serving(answers: Answers, tls: ssl.SSLContext | None = None) -> Iterator[Served]:
    served = Served("")
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(answers, served)) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        served.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()


def _handler(answers: Answers, served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            content = json.loads(self.rfile.read(length)) if length else None
            route = f"{self.command} {self.path}"
            served.asked.append((route, content))
            served.headers.append(dict(self.headers))
            status, said, *further = answers(route, content)
            body = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(further[0] if further else {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    return Handler


@contextmanager
def raw(answer: bytes) -> Iterator[str]:
    """Something on a port that says `answer` to whoever connects, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_all() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:  # closed: the test is over
                    return
                with line:
                    line.sendall(answer)

        thread = threading.Thread(target=answer_all)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
