"""The odd server in a thread of the tests."""

import asyncio
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from shapebench.test_servers.listener import listening
from shapebench.test_servers.odd.oddities import Oddities, Timing
from shapebench.test_servers.odd.routes import Routes
from shapebench.test_servers.odd.server import Server
from shapebench.test_servers.reference import truth

USUAL_TIMES = Timing()


@dataclass(frozen=True)
class OddServer:
    """An odd server that is running."""

    url: str
    log: Path

    def truths(self, count: int) -> list[dict[str, Any]]:
        """The log, as soon as it has so many lines."""
        end_s = time.monotonic() + 10
        while (lines := self.log.read_text().splitlines())[count - 1 :] == []:
            assert time.monotonic() < end_s, "there were fewer requests"
            time.sleep(0.005)
        return [json.loads(line) for line in lines]


@contextmanager
def odd_server(
    oddities: Oddities, timing: Timing = USUAL_TIMES, tls: ssl.SSLContext | None = None
) -> Iterator[OddServer]:
    """Serve until the end of the block."""
    with TemporaryDirectory() as folder, listening(0) as listener:
        log = Path(folder) / "truth.jsonl"
        with truth.opened(log) as written:
            server = Server(Routes(oddities, timing), written)
            loop = asyncio.new_event_loop()
            thread = Thread(target=loop.run_until_complete, args=(server.run(listener, tls),))
            thread.start()
            try:
                scheme = "https" if tls else "http"
                yield OddServer(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}", log)
            finally:
                loop.call_soon_threadsafe(server.stop)
                thread.join()
                loop.close()
