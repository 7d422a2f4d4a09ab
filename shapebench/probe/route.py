"""The route to a server: its addresses, looked up once for all streams, and what TLS needs."""

import socket
import ssl
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any
from urllib.parse import urlsplit

from shapebench.apis.target import Target

Fault = tuple[str, str]  # its kind in one word, and a message
Address = tuple[socket.AddressFamily, Any]


@dataclass(frozen=True)
class Route:
    """Everything that a connection to a target needs; `fault` says why no connection is possible."""

    host: str
    addresses: tuple[Address, ...] = ()
    tls: ssl.SSLContext | None = None
    fault: Fault | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name the addresses, such as 10.0.0.7:8000."""
        return tuple(f"{address[0]}:{address[1]}" for _, address in self.addresses)

    @cached_property
    def balanced(self) -> int:
        """Count the addresses that streams are spread over: those of the first one's family, which come first.

        An IPv4 and an IPv6 address of the same name usually lead to the same server.
        """
        return sum(family == self.addresses[0][0] for family, _ in self.addresses) or 1


def resolve(target: Target) -> Route:
    """Look up the target's host; never raises."""
    url = urlsplit(target.url)
    host = url.hostname or ""
    try:
        tls = tls_context(target.verify_tls, target.ca_file) if url.scheme == "https" else None
        addresses = socket.getaddrinfo(host, url.port or (443 if tls else 80), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: no host can have such a name
        return Route(host, fault=fault_of(error))
    found = [(family, address) for family, *_, address in addresses]
    return Route(host, tuple(sorted(found, key=lambda one: one[0] != found[0][0])), tls)


@cache  # one for all streams: each would read hundreds of certificates
def tls_context(verify: bool, ca_file: str | None) -> ssl.SSLContext:
    """Trust the authorities of the system, or those in `ca_file`; raises OSError for a bad file."""
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
    """Classify the error of a failed connection: its kind in one word, and its message."""
    kinds = (kind for cause, kind in FAULTS if isinstance(error, cause))
    return next(kinds, "connection"), str(error) or repr(error)
