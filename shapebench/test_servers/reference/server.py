"""The reference server as a process."""

import gc
import os
import resource
import signal
import socket
from pathlib import Path
from weakref import WeakSet

from shapebench.support.event_loop import EventLoop
from shapebench.support.timestamps import Stamps
from shapebench.test_servers.listener import listening
from shapebench.test_servers.reference import truth
from shapebench.test_servers.reference.connection import Connection, Respond
from shapebench.test_servers.reference.pace import Pace
from shapebench.test_servers.reference.routes import Routes

_BACKLOG = 8192
_MAX_ACCEPTED = 64  # in one iteration: some milliseconds of work


def serve(pace: Pace, port: int, log: Path | None, metrics: Path | None = None, *, until_eof: bool) -> None:
    """Serve on 127.0.0.1 until SIGTERM or SIGINT, or the end of standard input; port 0 is any free one.

    It prints a line with its URL when it is ready. `metrics` is a file that /metrics returns unchanged.
    """
    allow_many_connections()
    with truth.opened(log) as written, listening(port, _BACKLOG) as listener:
        server = Server(listener, Routes(pace, written, metrics.read_bytes() if metrics else None).respond, written)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.loop.stop())
        if until_eof:
            server.stop_at_eof(0)
        print(f"Server ready on http://127.0.0.1:{listener.getsockname()[1]} ({pace})", flush=True)
        gc.disable()  # nothing here refers to itself, and to look for such things takes milliseconds
        server.run()


class Server:
    """A server that takes connections, and answers each at the pace."""

    def __init__(self, listener: socket.socket, respond: Respond, log: truth.Log) -> None:
        self.loop = EventLoop()
        self._listener, self._respond, self._log = listener, respond, log
        self._stamps = Stamps()
        self._connections: WeakSet[Connection] = WeakSet()  # the loop keeps those that are open
        listener.setblocking(False)
        self.loop.watch(listener.fileno(), self._accept)

    def run(self) -> None:
        """Serve until the loop is stopped; answers in progress then are aborted."""
        self.loop.run(when_idle=self._log.write_piece)
        for connection in self._connections:
            connection.close()
        self.loop.close()

    def stop_at_eof(self, fd: int) -> None:
        """Stop when the other end of this pipe is closed."""

        def look() -> None:
            if not os.read(fd, 4096):
                self.loop.stop()

        try:
            self.loop.watch(fd, look)
        except PermissionError:  # a file, as /dev/null is, cannot be watched: it has no other end
            self.loop.stop()

    def _accept(self) -> None:
        for _ in range(_MAX_ACCEPTED):
            try:
                line, _ = self._listener.accept()
            except OSError:  # all are taken, or there is no room for more
                return
            self._connections.add(Connection(line, self.loop, self._respond, self._stamps))


def allow_many_connections() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
