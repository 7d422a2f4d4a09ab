"""Errors of an endpoint that cannot be measured, each with a remedy."""

import socket
import ssl
from collections.abc import Iterator

import httpx

from shapebench.errors import ShapebenchError


class EndpointError(ShapebenchError):
    """The endpoint cannot be measured."""

    waited_for = False  # for as long as the spec allows: a retry does not help


class EndpointUnreachableError(EndpointError):
    """Nothing listens at the address."""


class ConnectionDroppedError(EndpointError):
    """Something listens at the address, but closes the connection or does not speak HTTP."""


class HostNotFoundError(EndpointError):
    """The host's name does not resolve."""


class TlsError(EndpointError):
    """The server's certificate is not trusted, or it speaks no TLS."""


class UnauthorizedError(EndpointError):
    """The server rejects the API key, or needs one."""


class RedirectedError(EndpointError):
    """The server redirects to another address."""


class BadAddressError(EndpointError):
    """The URL, the CA file or a secret cannot be used as it is."""


class RouteNotFoundError(EndpointError):
    """The server has no such path."""


class EndpointTimeoutError(EndpointError):
    """The server did not answer in time."""


class BadAnswerError(EndpointError):
    """The server answered something unexpected."""


class RefusedError(EndpointError):
    """The server refuses the workload's requests."""


class RateLimitedError(EndpointError):
    """The server asks to wait for longer than the spec allows."""


class NeverHealthyError(EndpointError):
    """The server answers, but is not ready in time."""


class WrongModelError(EndpointError):
    """The server does not serve the model."""


class ContextTooSmallError(EndpointError):
    """Requests of this workload do not fit the model."""


def unreachable(url: str, error: Exception) -> EndpointError:
    """Return the error of a request that got no answer; raises the given one where it is of no known kind."""
    causes = list(_causes(error))
    for cause_type, error_type, problem, remedy in UNREACHABLE:
        if matching := [cause for cause in causes if isinstance(cause, cause_type)]:
            return error_type(f"{problem.format(url=url)}: {matching[0] or repr(matching[0])}", remedy)
    raise error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


# Errors for failed requests: the first row that matches one of the causes applies.
UNREACHABLE: tuple[tuple[type[Exception], type[EndpointError], str, str], ...] = (
    (
        ssl.SSLError,
        TlsError,
        "No TLS connection to {url}",
        (
            "Set endpoint.ca_file (--ca-file) to the authority that signed its certificate; if the server speaks plain "
            "HTTP, use http:// in the URL; endpoint.verify_tls: false (--insecure) accepts any certificate."
        ),
    ),
    (
        socket.gaierror,
        HostNotFoundError,
        "The name of the host in {url} does not resolve",
        "Check the name, and the DNS of this machine.",
    ),
    (UnicodeError, HostNotFoundError, "The name of the host in {url} is not a valid host name", "Correct the URL."),
    (
        httpx.TimeoutException,
        EndpointTimeoutError,
        "{url} did not answer in time",
        "Check whether the server is overloaded, or a firewall blocks the connection.",
    ),
    (
        httpx.ConnectError,
        EndpointUnreachableError,
        "No connection to {url}",
        "Check that the server runs, on that port, and listens on an address that this machine can reach.",
    ),
    (
        httpx.RequestError,
        ConnectionDroppedError,
        "{url} closed the connection, or its answer is not HTTP",
        "Check whether the server is still starting, whether it needs https:// in the URL, and the port.",
    ),
)
