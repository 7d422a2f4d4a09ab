"""The route to a server: its addresses, looked up once for all streams, and what TLS needs."""

import socket
import ssl
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from shapebench.apis.target import Target

Fault = tuple[str, str]  # a word for its kind, and a message
Address = tuple[socket.AddressFamily, Any]


@dataclass(frozen=True)
class Route:
    """How to reach a target; `fault` says what keeps everybody from reaching it."""

    host: str
    addresses: tuple[Address, ...] = ()
    tls: ssl.SSLContext | None = None
    fault: Fault | None = None


def resolve(target: Target) -> Route:
    """Look up the target's host; never raises."""
    url = urlsplit(target.url)
    host = url.hostname or ""
    try:
        tls = tls_context(target.verify_tls, target.ca_file) if url.scheme == "https" else None
        found = socket.getaddrinfo(host, url.port or (443 if tls else 80), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: no host can have such a name
        return Route(host, fault=fault_of(error))
    return Route(host, tuple((family, address) for family, *_, address in found), tls)


@cache  # one for all streams: each would read hundreds of certificates
def tls_context(verify: bool, ca_file: str | None) -> ssl.SSLContext:
    """The authorities that are trusted: those of the system, or those in `ca_file`; raises OSError for a bad file."""
    context = ssl.create_default_context(cafile=ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


FAULTS: tuple[tuple[type[Exception], str], ...] = (
    (ssl.SSLError, "tls"),
    (socket.gaierror, "dns"),
    (UnicodeError, "dns"),
    (TimeoutError, "timeout"),
)


def fault_of(error: Exception) -> Fault:
    """The word for what kept a connection from being made, and its message."""
    kinds = (kind for cause, kind in FAULTS if isinstance(error, cause))
    return next(kinds, "connection"), str(error) or repr(error)
