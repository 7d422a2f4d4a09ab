"""An HTTP server on loopback that answers what a test says, for the control plane."""

import json
import logging
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

Headers = dict[str, str]
Reply = tuple[int, Any] | tuple[int, Any, Headers]  # status, a text or what becomes JSON, further headers
Answers = Callable[[str, Any], Reply]  # from "GET /path" and the JSON that came

MODEL = "meta-llama/Llama-3.2-3B-Instruct"
MODELS = {"object": "list", "data": [{"id": MODEL, "owned_by": "someone", "max_model_len": 4096}]}
NOT_FOUND: Reply = (404, {"detail": "Not Found"})


UNKNOWN_MODEL: Reply = (404, {"error": {"message": "The model `x` does not exist.", "code": "model_not_found"}})


def streamed(*chunks: dict[str, Any]) -> str:
    """A streamed answer of these chunks."""
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def answer(prompt_tokens: int, completion_tokens: int = 16, **more: Any) -> str:
    """A streamed answer with a chunk for each token, and usage at its end."""
    chunk = {"choices": [{"delta": {"content": " a"}, "text": " a"}]}
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    return streamed(*[chunk] * completion_tokens, {"choices": [], "usage": usage, **more})


def healthy(**changes: Reply) -> dict[str, Reply]:
    """The least that an OpenAI-compatible server answers; names such as `GET_health` put answers over it."""
    routes: dict[str, Reply] = {
        "GET /health": (200, ""),
        "GET /v1/models": (200, MODELS),
        "POST /v1/chat/completions": (200, answer(20)),
        "POST /v1/completions": (200, answer(20)),
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


logging.getLogger("werkzeug").setLevel(logging.ERROR)  # or it prints each request


class RouteServer(HTTPServer):
    """Stops at once, not after half a second."""

    def thread_target(self) -> None:
        assert self.server
        self.server.serve_forever(0.01)


@contextmanager
def serving(answers: Answers, tls: ssl.SSLContext | None = None) -> Iterator[Served]:
    served = Served("")

    def answer(request: Request) -> Response:
        content = json.loads(request.data) if request.data else None
        route = f"{request.method} {request.full_path.removesuffix('?')}"
        served.asked.append((route, content))
        served.headers.append(dict(request.headers))
        status, said, *further = answers(route, content)
        response = Response(said if isinstance(said, str) else json.dumps(said), status)
        response.headers.update(*further)  # last: also a Content-Length that is wrong on purpose
        return response

    with RouteServer("127.0.0.1", 0, tls, threaded=True) as server:
        server.expect_request(re.compile(".*")).respond_with_handler(answer)
        served.url = server.url_for("").rstrip("/")
        yield served


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
