"""A server that replays a documented stream in answer to every request of an API, and has no other route."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.oci_lookalike import Request
from tests.recorded_streams import content_type, stream_pieces

GAP_S = 0.002  # between the pieces of a stream


@dataclass
class Recorded:
    """What the server received on the API's path, header names in small letters."""

    url: str
    requests: list[Request] = field(default_factory=list)


@contextmanager
def replaying(name: str, path: str) -> Iterator[Recorded]:
    """Serve the stream of this name at this path, without its query."""
    pieces, recorded = stream_pieces(name), Recorded("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or pieces would arrive together

        def do_GET(self) -> None:
            self._refuse()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.partition("?")[0] != path:
                self._refuse()
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            recorded.requests.append(Request("POST", self.path, headers, body))
            self.send_response(200)
            self.send_header("Content-Type", content_type(name))
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in (*pieces, b""):
                time.sleep(GAP_S)
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

        def _refuse(self) -> None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as http.server has it
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        recorded.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield recorded
        finally:
            server.shutdown()
            thread.join()
