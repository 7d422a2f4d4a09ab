"""Tokens/s that the simulator streams on one core.

Server and client are pinned to a core each: the server is measured as long as its core is the busier one.
Linux only.
"""

import argparse
import multiprocessing
import os
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

import psutil

from shapebench.test_servers.simulator.process import running_simulator

_OUTPUT_TOKENS = 100
_BODY = b'{"prompt":"%b","max_tokens":%d,"ignore_eos":true,"stream":true}' % (b" word" * 200, _OUTPUT_TOKENS)
_REQUEST = (
    b"POST /v1/completions HTTP/1.1\r\nhost: simulator\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    % len(_BODY)
) + _BODY


@dataclass(frozen=True)
class Load:
    """The client's counts in the measured time."""

    tokens: int
    wall_s: float
    cpu_s: float


def press(url: str, streams: int, duration_s: float) -> Load:
    """Keep `streams` requests in flight over bare sockets, and count the tokens that come back."""
    port = urlsplit(url).port
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(streams)]
    poll = select.epoll()
    by_number = {connection.fileno(): connection for connection in connections}
    for number, connection in by_number.items():
        poll.register(number, select.EPOLLIN)
        connection.sendall(_REQUEST)
    _read(poll, by_number, time.monotonic() + 1)  # all are under way, and the pace has settled
    begin_s, cpu_s = time.monotonic(), time.process_time()
    tokens = _read(poll, by_number, begin_s + duration_s)
    return Load(tokens, time.monotonic() - begin_s, time.process_time() - cpu_s)


def _read(poll: select.epoll, by_number: dict[int, socket.socket], until_s: float) -> int:
    tokens = 0
    while time.monotonic() < until_s:
        for number, _ in poll.poll(0.1):
            received = by_number[number].recv(65_536)
            tokens += received.count(b"data: {")
            if received.endswith(b"0\r\n\r\n"):
                by_number[number].sendall(_REQUEST)
    return tokens


def _client(url: str, streams: int, duration_s: float, core: int, results: Connection) -> None:
    os.sched_setaffinity(0, {core})
    results.send(press(url, streams, duration_s))


def measure(streams: int, duration_s: float, cores: Sequence[int]) -> str:
    """One line of the table."""
    with running_simulator("fast") as url:
        server = psutil.Process().children()[-1]
        server.cpu_affinity([cores[0]])
        results, results_of_client = multiprocessing.Pipe(duplex=False)
        client = multiprocessing.Process(target=_client, args=(url, streams, duration_s, cores[1], results_of_client))
        client.start()
        time.sleep(1)
        cpu_before_s = sum(server.cpu_times()[:2])
        load: Load = results.recv()
        server_cpu_s = sum(server.cpu_times()[:2]) - cpu_before_s
        client.join()
    per_token_us = 1e6 * server_cpu_s / load.tokens
    return (
        f"{streams:7} {load.tokens / load.wall_s:10,.0f} {per_token_us:16.1f} {server_cpu_s / load.wall_s:12.0%} "
        f"{load.cpu_s / load.wall_s:12.0%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[32, 100, 500])
    parser.add_argument("--duration-s", type=float, default=5)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:2]
    print("streams   tokens/s  server us/token  server busy  client busy")
    for streams in arguments.streams:
        print(measure(streams, arguments.duration_s, cores), flush=True)


if __name__ == "__main__":
    main()
