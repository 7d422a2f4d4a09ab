"""The bytes of a streamed request, ready to send."""

from collections.abc import Callable, Mapping
from urllib.parse import quote, urlsplit

import orjson

from shapebench.apis.api import Json
from shapebench.apis.auth import signer
from shapebench.apis.table import APIS
from shapebench.apis.target import USER_AGENT, Credentials, PlannedRequest, Target


def request_url(target: Target) -> str:
    """Return the address that requests go to, with path and query."""
    path = target.path or APIS[target.api].path
    for name, value in {**target.auth_options, "model": target.model}.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    query = ("&" if "?" in path else "?") + target.query if target.query else ""
    return f"{target.url}{path}{query}"


def build_body(target: Target, prompt: str, output_tokens: int, stream: bool) -> Json:
    """Build a request's body as the server takes it: with the spec's fields, without those that it refuses."""
    body = APIS[target.api].write_body(target, prompt, output_tokens, stream)
    for old, new in target.renamed_fields.items():
        if old in body:
            body[new] = body.pop(old)
    for name in target.dropped_fields:
        _drop(body, name.split("."))
    return _merge(body, target.extra_body)


def _drop(body: Json, names: list[str]) -> None:
    *outer, last = names
    for name in outer:
        inner = body.get(name)
        if not isinstance(inner, dict):
            return
        body = inner
    body.pop(last, None)


def _merge(body: Json, extra: Json) -> Json:
    """Add fields; objects are merged, and null removes a field."""
    merged = dict(body)
    for name, value in extra.items():
        before = merged.get(name)
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def merge_headers(*groups: Mapping[str, str]) -> dict[str, str]:
    """Merge headers, of which the last of a name counts, in whatever case: twice, a server may refuse it."""
    merged = {name.lower(): (name, value) for group in groups for name, value in group.items()}
    return dict(merged.values())


def request_writer(target: Target, credentials: Credentials) -> Callable[[PlannedRequest], bytes]:
    """Make a function that writes a planned request, headers and all."""
    url, sign = request_url(target), signer(target, credentials)
    parts = urlsplit(url)
    own = {
        "Host": parts.netloc.rpartition("@")[2],
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "User-Agent": USER_AGENT,
    }
    headers = merge_headers(own, APIS[target.api].headers, target.headers, credentials.headers)
    begin = f"POST {parts.path}{'?' + parts.query if parts.query else ''} HTTP/1.1\r\n"

    def write(request: PlannedRequest) -> bytes:
        body = orjson.dumps(build_body(target, request.prompt, request.output_tokens, True))
        signed = merge_headers(headers, sign("POST", url, headers, body))
        head = begin + "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        return b"%sContent-Length: %d\r\n\r\n%s" % (head.encode(), len(body), body)

    return write
