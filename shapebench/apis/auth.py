"""Authentication of requests: headers that are added when a request is written, before its send is due."""

import math
from collections.abc import Callable

from shapebench.apis.api import bearer
from shapebench.apis.auth_aws import make_aws_signer
from shapebench.apis.auth_google import make_google_signer
from shapebench.apis.auth_oci import make_oci_signer
from shapebench.apis.signing import Signer
from shapebench.apis.table import APIS
from shapebench.apis.target import Credentials, Target

MAX_AGE_S = {"oci": 240.0, "aws": 240.0, "google": 240.0}  # a signature is refused after five minutes


def signer(target: Target, credentials: Credentials) -> Signer:
    """Make the function that signs the requests to a target; raises AuthError where it cannot."""
    return AUTH[target.auth](target, credentials)


def max_age_s(target: Target) -> float:
    """Return how long a written request can wait before it has to be signed again."""
    return MAX_AGE_S.get(target.auth, math.inf)


def _constant(headers: dict[str, str]) -> Signer:
    return lambda _method, _url, _headers, _body: headers


def _send_key(target: Target, credentials: Credentials) -> Signer:
    return _constant(APIS[target.api].key_headers(credentials.api_key) if credentials.api_key else {})


def _send_bearer(_target: Target, credentials: Credentials) -> Signer:
    return _constant(bearer(credentials.api_key) if credentials.api_key else {})


AUTH: dict[str, Callable[[Target, Credentials], Signer]] = {
    "key": _send_key,
    "bearer": _send_bearer,
    "none": lambda _target, _credentials: _constant({}),
    "oci": lambda target, _credentials: make_oci_signer(target),
    "google": lambda target, _credentials: make_google_signer(target),
    "aws": lambda target, _credentials: make_aws_signer(target, APIS[target.api].service),
}
