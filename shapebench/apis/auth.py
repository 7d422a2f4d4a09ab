"""Authentication of requests: headers that are added when a request is written, before its send is due."""

from collections.abc import Callable

from shapebench.apis.table import APIS
from shapebench.apis.target import Credentials, Target

# Takes the method, the URL, the other headers and the body; returns the headers to add.
Signer = Callable[[str, str, dict[str, str], bytes], dict[str, str]]


def signer(target: Target, credentials: Credentials) -> Signer:
    """Make the function that signs the requests to a target."""
    return AUTH[target.auth](target, credentials)


def _send_key(target: Target, credentials: Credentials) -> Signer:
    headers = APIS[target.api].key_headers(credentials.api_key) if credentials.api_key else {}
    return lambda _method, _url, _headers, _body: headers


def _send_nothing(_target: Target, _credentials: Credentials) -> Signer:
    return lambda _method, _url, _headers, _body: {}


AUTH: dict[str, Callable[[Target, Credentials], Signer]] = {"key": _send_key, "none": _send_nothing}
