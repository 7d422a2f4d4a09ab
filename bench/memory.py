"""Memory of a long level, which must not grow with the number of samples.

A server in a separate process answers each request with the same complete answer of 100 chunks, as fast as it can, so
that a million requests take minutes. Prints the maximum resident memory of the measuring processes at each tenth of the
level, then that of the process that joins their samples in one file.
"""

import argparse
import multiprocessing
import re
import select
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from shapebench.analysis import level_samples
from shapebench.analysis.summary import summarise
from shapebench.apis.target import Credentials, Target
from shapebench.load import workers
from shapebench.load.counters import Progress
from shapebench.load.plan import LevelPlan
from shapebench.load.prompts import RequestMix
from shapebench.runs.prompt_sizing import PromptSizing, candidate_words
from shapebench.spec.lengths import Lengths

LIMIT_BYTES = 1 << 30
TOKENS = 100
CHUNK = b'data: {"id":"cmpl-1","choices":[{"index":0,"text":" tick"}]}\n\n'
LAST = b'data: {"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":%d}}\n\ndata: [DONE]\n\n' % TOKENS
BODY = CHUNK * TOKENS + LAST
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY
HEAD = re.compile(rb"content-length: (\d+)\r\n.*?\r\n\r\n|\r\n\r\n", re.IGNORECASE | re.DOTALL)


def answer_all(listener: socket.socket) -> None:
    """Send the answer for each request that is complete; clients wait for it before they send another."""
    poll, lines, begun = select.epoll(), {listener.fileno(): listener}, dict[int, bytes]()
    poll.register(listener.fileno(), select.EPOLLIN)
    while True:
        for number, _ in poll.poll():
            if number == listener.fileno():
                line, _ = listener.accept()
                lines[line.fileno()], begun[line.fileno()] = line, b""
                poll.register(line.fileno(), select.EPOLLIN)
                continue
            received = lines[number].recv(1 << 16)
            begun[number] += received
            if not received:
                poll.unregister(number)
                lines.pop(number).close()
            elif is_complete(begun[number]):
                begun[number] = b""
                lines[number].sendall(ANSWER)


def is_complete(request: bytes) -> bool:
    found = HEAD.search(request)
    return found is not None and len(request) >= found.end() + int(found[1] or 0)


@contextmanager
def serving() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        server = multiprocessing.Process(target=answer_all, args=(listener,), daemon=True)
        server.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.terminate()
        server.join()


class Look:
    """Prints a line for each tenth of the level."""

    def __init__(self) -> None:
        self.most_bytes, self.begun_s, self._tenth = 0, time.monotonic(), 1

    def __call__(self, progress: Progress) -> None:
        now_bytes = max(map(rss_bytes, measuring()), default=0)
        self.most_bytes = max(self.most_bytes, now_bytes)
        done = progress.completed + progress.failed
        if now_bytes and 10 * done >= self._tenth * (progress.planned or 0):
            self._tenth = 10 * done // (progress.planned or 1) + 1
            took_s = time.monotonic() - self.begun_s
            print(f"{done:10,} requests {took_s:7.0f} s {now_bytes / 1e6:8.0f} MB", flush=True)


def measuring() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if "shapebench.load" in (child.as_dict(["cmdline"])["cmdline"] or ())]


def rss_bytes(one: psutil.Process) -> int:
    found = one.as_dict(["memory_info"])["memory_info"]
    return found.rss if found else 0


@contextmanager
def watched(most: list[int]) -> Iterator[None]:
    """Keep the maximum resident memory of this process in `most`."""
    over, here = threading.Event(), psutil.Process()

    def watch() -> None:
        while not over.wait(0.02):
            most[0] = max(most[0], here.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield
    over.set()
    watcher.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--summarise", action="store_true", help="also make metrics of the samples, all at once")
    arguments = parser.parse_args()
    look, most = Look(), [0]
    with tempfile.TemporaryDirectory() as scratch, serving() as url, watched(most):
        plan = LevelPlan(
            target=Target(url, "m", "completions"),
            mix=RequestMix(PromptSizing(candidate_words()), Lengths(20, 0), Lengths(TOKENS, 0), seed=1),
            concurrency=arguments.streams,
            requests=arguments.requests,
            warmup_requests=arguments.streams,
            request_timeout_s=60,
            samples=str(Path(scratch) / "level.parquet"),
            processes=arguments.processes,
        )
        outcome = workers.run_workers(plan, Credentials(), look)
        if outcome.error or outcome.samples is None:
            print(outcome.error, file=sys.stderr)
            return 1
        found = {"a measuring process": look.most_bytes, "the process that joins": most[0]}
        joined_s = time.monotonic() - look.begun_s - outcome.wall_s
        print(f"{outcome.wall_s:.0f} s of measuring, {joined_s:.0f} s of starting and joining")
        rows, size_bytes = pq.read_metadata(outcome.samples).num_rows, outcome.samples.stat().st_size
        print(f"{rows:,} samples of {TOKENS} tokens in {size_bytes / 1e6:,.0f} MB", flush=True)
        if arguments.summarise:
            summarise("", arguments.streams, level_samples.read(outcome.samples))
            found["the process that summarises"] = most[0]
    return verdict(found)


def verdict(most_bytes: dict[str, int]) -> int:
    for name, count in most_bytes.items():
        print(f"{name}: at most {count / 1e6:.0f} MB, {'under' if count < LIMIT_BYTES else 'NOT UNDER'} 1 GB")
    return int(max(most_bytes.values()) >= LIMIT_BYTES)


if __name__ == "__main__":
    sys.exit(main())
