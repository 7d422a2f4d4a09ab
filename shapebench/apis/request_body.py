"""The bytes of a streamed request, ready to send."""

from collections.abc import Callable
from urllib.parse import urlsplit

import orjson

from shapebench.apis.table import APIS
from shapebench.apis.target import PlannedRequest, Target


def request_writer(target: Target, api_key: str | None) -> Callable[[PlannedRequest], bytes]:
    """Make a function that writes a planned request, headers and all."""
    url, api = urlsplit(target.url), APIS[target.api]
    head = "".join(
        f"{line}\r\n"
        for line in (
            f"POST {url.path}{api.path} HTTP/1.1",
            f"Host: {url.netloc.rpartition('@')[2]}",
            "Content-Type: application/json",
            "Accept: text/event-stream",
            "User-Agent: shapebench",
            *([f"Authorization: Bearer {api_key}"] if api_key else []),
        )
    ).encode()

    def write(request: PlannedRequest) -> bytes:
        body = orjson.dumps(api.write_body(target, request.prompt, request.output_tokens, True))
        return b"%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body)

    return write
