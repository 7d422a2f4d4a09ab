"""The listening socket of a server on this machine."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from shapebench.errors import ShapebenchError


@contextmanager
def listening(port: int, backlog: int = 2048) -> Iterator[socket.socket]:
    """Listen on 127.0.0.1, without Nagle's delay of small pieces; port 0 takes any port that is free."""
    try:
        listener = socket.create_server(("127.0.0.1", port), backlog=backlog)
    except OSError as error:
        raise ShapebenchError(
            f"Cannot listen on port {port}: {error.strerror}", "Choose another port; 0 takes any that is free."
        ) from None
    with listener:
        # Its connections inherit it; asyncio sets it only where the socket names its protocol.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener
