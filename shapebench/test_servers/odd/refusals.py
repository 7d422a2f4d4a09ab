"""Refusals of requests: of fields, of their rate, and of what they lack."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate

from shapebench.test_servers.odd.asked import Json
from shapebench.test_servers.odd.http import Reply, Request, json_reply, text_reply
from shapebench.test_servers.odd.oddities import Oddities


@dataclass(frozen=True)
class Refused:
    """A field that is refused, and the words of OpenAI's API for it."""

    field: str
    value: object
    message: str
    code: str = "unsupported_parameter"


def _parameter(field: str, more: str = "") -> str:
    return f"Unsupported parameter: '{field}' is not supported with this model.{more}"


_WORDS = {
    "temperature": "Unsupported value: 'temperature' does not support 0 with this model. "
    "Only the default (1) value is supported.",
    "max_tokens": _parameter("max_tokens", " Use 'max_completion_tokens' instead."),
    "max_completion_tokens": _parameter("max_completion_tokens", " Use 'max_tokens' instead."),
}


def refused_fields(oddities: Oddities, body: Json) -> list[Refused]:
    """List the fields of a request that the server refuses."""
    found = []
    for name in oddities.refuses:
        field = name.removesuffix("_0")
        if field in body and (field == name or body[field] == 0):
            code = "unsupported_value" if field != name else "unsupported_parameter"
            found.append(Refused(field, body[field], _WORDS.get(field, _parameter(field)), code))
    return found


def _openai(refused: list[Refused], status: int) -> Reply:
    first = refused[0]
    error = {"message": first.message, "type": "invalid_request_error", "param": first.field, "code": first.code}
    return json_reply({"error": error}, status)


def _detail(one: Refused) -> Json:
    place: Json = {"loc": ["body", one.field], "input": one.value}
    if one.code == "unsupported_value":
        return {"type": "greater_than", "msg": "Input should be greater than 0", "ctx": {"gt": 0.0}} | place
    return {"type": "extra_forbidden", "msg": "Extra inputs are not permitted"} | place


def _details(refused: list[Refused]) -> Json:
    return {"detail": [_detail(one) for one in refused]}


def _tgi(refused: list[Refused], status: int) -> Reply:
    first = refused[0]
    strict = f"`{first.field}` must be strictly positive"
    unknown = f"unknown field `{first.field}`"
    message = strict if first.code == "unsupported_value" else unknown
    return json_reply({"error": f"Input validation error: {message}", "error_type": "validation"}, status)


_FORMS: dict[str, Callable[[list[Refused], int], Reply]] = {
    "openai": _openai,
    "fastapi": lambda refused, status: json_reply(_details(refused), status),
    "mistral": lambda refused, status: json_reply(
        {"object": "error", "message": _details(refused), "type": "invalid_request_error"}, status
    ),
    "tgi": _tgi,
    "oci": lambda refused, status: json_reply({"code": str(status), "message": refused[0].message}, status),
    "text": lambda refused, status: text_reply(refused[0].message, status),
}


def refuse_fields(oddities: Oddities, body: Json) -> Reply | None:
    """Refuse a request for its fields, if it has any that are refused."""
    refused = refused_fields(oddities, body)
    return _FORMS[oddities.refusal_form](refused, oddities.refusal_status) if refused else None


RETRY_HEADERS: dict[str, Callable[[float, float], dict[str, str]]] = {
    "seconds": lambda wait_s, _: {"retry-after": str(math.ceil(wait_s))},
    "date": lambda wait_s, now_s: {"retry-after": formatdate(now_s + math.ceil(wait_s), usegmt=True)},
    "milliseconds": lambda wait_s, _: {"retry-after-ms": str(round(1e3 * wait_s))},
    "none": lambda *_: {},
}


def refuse_rate(oddities: Oddities, now_s: float) -> Reply:
    """Refuse a request because there were too many."""
    message = "Rate limit reached for requests"
    error = {"message": message, "type": "requests", "param": None, "code": "rate_limit_exceeded"}
    headers = RETRY_HEADERS[oddities.retry_after](oddities.retry_after_s, now_s)
    return json_reply({"error": error}, oddities.limit_status, headers)


def _without_key(oddities: Oddities, request: Request) -> Reply | None:
    if not (oddities.api_key or oddities.key_header):
        return None
    name = oddities.key_header or "authorization"
    given = request.headers.get(name.lower(), "")
    wanted = oddities.api_key if oddities.key_header else f"Bearer {oddities.api_key}"
    if given and (given == wanted or not oddities.api_key):
        return None
    message = f"Access denied: the header {name} has no valid key."
    return json_reply({"error": {"code": "401", "message": message}}, 401)


def _without_header(oddities: Oddities, request: Request) -> Reply | None:
    name = oddities.required_header
    if not name or name.lower() in request.headers:
        return None
    return json_reply({"code": "MissingParameter", "message": f"Missing required header: {name}"}, 400)


def _without_query(oddities: Oddities, request: Request) -> Reply | None:
    if not oddities.required_query or oddities.required_query in request.query:
        return None
    return json_reply({"error": {"code": "404", "message": "Resource not found"}}, 404)


def refuse_lacking(oddities: Oddities, request: Request) -> Reply | None:
    """Refuse a request that lacks a key, a header or a parameter."""
    checks = (_without_key, _without_header, _without_query)
    return next((reply for check in checks if (reply := check(oddities, request))), None)
