"""Every fault is a sample: none hangs the level, crashes it, leaks a socket or counts as success.

Some of a level's requests meet the fault, on whatever connection they come; the others are answered.
"""

import asyncio
import gzip
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shapebench.apis.target import Target
from shapebench.load.prompts import RequestMix
from shapebench.runs.prompt_sizing import PromptSizing
from shapebench.spec.lengths import Lengths
from tests.scripted_server import (
    CHUNKED,
    CHUNKED_ANSWER,
    STREAM,
    TOKEN,
    USAGE,
    Action,
    Played,
    Script,
    chunk,
    dripped,
    endless,
    error,
    event,
    forever,
    half_close,
    hang_up,
    head,
    pause,
    reset,
    send,
    served,
)
from tests.unit.apis.test_sse import RECORDED
from tests.unit.load.test_http_connection import BODY, PLAIN_AND_TLS, server_tls
from tests.unit.load.test_level import ANSWER, Kept, kinds, plan

REQUESTS, FAULTY = 24, 4


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(autouse=True)
def no_file_is_left() -> Iterator[None]:
    before = open_files()
    yield
    assert open_files() == before


@dataclass(frozen=True)
class Fault:
    """What a server does, and what is to be said of it."""

    script: Script
    kind: str
    says: str
    changes: dict[str, Any] = field(default_factory=dict)  # of the plan


def stream(*events: bytes) -> Action:
    """A whole chunked answer."""
    return send(CHUNKED + b"".join(map(chunk, events)) + chunk(b""))


def again_and_again(data: bytes, every_s: float) -> Action:
    async def act(writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(data)
            await asyncio.sleep(every_s)

    return act


async def half_close_or_hang_up(writer: asyncio.StreamWriter) -> None:
    """TLS knows no half-closed connections."""
    await (half_close if writer.can_write_eof() else hang_up)(writer)


def plain(body: bytes, *headers: str) -> Action:
    return send(head("200 OK", f"Content-Length: {len(body)}", *headers) + body)


SHORT = {"request_timeout_s": 1.5}
STALL = {"stall_timeout_s": 1.0}
OVERLOADED = {"error": {"message": "CUDA out of memory", "type": "InternalServerError", "code": 500}}
DONE = b"data: [DONE]\n\n"
WITHOUT_TEXT = {**TOKEN, "choices": [{"index": 0, "delta": {"role": "assistant"}}]}
COMPLETION = (RECORDED / "chat.txt").read_bytes().partition(b"\r\n\r\n")[2]
NOISE = b"a" * 65536

FAULTS = {
    "reset before the headers": Fault([reset], "reset", ""),
    "closed before the headers": Fault([hang_up], "reset", "before the answer was complete"),
    "half-closed before the headers": Fault([half_close, forever], "reset", "before the answer was complete"),
    "reset within the headers": Fault([send(CHUNKED[:30]), pause(0.02), reset], "reset", ""),
    "reset after the headers": Fault([send(CHUNKED), pause(0.02), reset], "reset", ""),
    "reset after a token": Fault([send(CHUNKED + chunk(STREAM[0])), pause(0.02), reset], "reset", ""),
    "closed after a token": Fault([send(CHUNKED + chunk(STREAM[0])), hang_up], "reset", "before the answer was"),
    "half-closed after a token": Fault([send(CHUNKED + chunk(STREAM[0])), half_close, forever], "reset", "before"),
    "silence": Fault([forever], "timeout", "no complete answer within 1.5 s", SHORT),
    "silence after the headers": Fault([send(CHUNKED), forever], "timeout", "no complete answer within 1.5 s", SHORT),
    "comments without an end": Fault(
        [send(CHUNKED), again_and_again(chunk(b": ping\n\n"), 0.02)], "timeout", "within 1.5 s", SHORT | STALL
    ),
    "a header that drips without an end": Fault(
        [send(b"HTTP/1.1 200 OK\r\nX: "), again_and_again(b"a", 0.005)], "timeout", "within 1.5 s", SHORT | STALL
    ),
    "a stall after a token": Fault(
        [send(CHUNKED + chunk(STREAM[0])), forever], "stall", "nothing more of the answer within 1 s", STALL
    ),
    "a stall within a chunk": Fault([send(CHUNKED + chunk(STREAM[0])[:50]), forever], "stall", "within 1 s", STALL),
    "400": Fault([send(error("400 Bad Request", {"error": {"message": "too long"}}))], "http_status", "too long"),
    "401": Fault([send(error("401 Unauthorized", {"error": "Unauthorized"}))], "http_status", "HTTP 401: Unauthorized"),
    "404": Fault([send(error("404 Not Found", {"detail": "Not Found"}))], "http_status", "HTTP 404: Not Found"),
    "429": Fault(
        [send(error("429 Too Many Requests", {"error": {"message": "slow down"}}, "Retry-After: 7"))],
        "http_status",
        "HTTP 429: slow down (retry-after: 7)",
    ),
    "500": Fault([send(error("500 Internal Server Error", OVERLOADED))], "http_status", "HTTP 500: CUDA out of memory"),
    "503 that drips": Fault(
        dripped(error("503 Service Unavailable", {"error": {"message": "draining"}})), "http_status", "draining"
    ),
    "a refusal that never ends": Fault(
        [send(head("500 Internal Server Error")), endless(NOISE)], "too_long", "the answer is longer than"
    ),
    "a redirect": Fault(
        [send(head("307 Temporary Redirect", "Location: https://a.example/", "Content-Length: 0"))],
        "http_status",
        "redirects are not followed; name the address itself (location: https://a.example/)",
    ),
    "no content": Fault([send(head("204 No Content"))], "http_status", "HTTP 204"),
    "not HTTP": Fault([send(b"SSH-2.0-OpenSSH_9.6\r\n")], "malformed", "not HTTP"),
    "a chunk without a size": Fault([send(CHUNKED + b"zz\r\n")], "malformed", "not HTTP"),
    "JSON that is none": Fault([stream(STREAM[0], b"data: {\n\n", *STREAM[1:])], "malformed", "not JSON"),
    "JSON that is no object": Fault([stream(STREAM[0], b"data: [1]\n\n", *STREAM[1:])], "malformed", "not an object"),
    "an error in the stream": Fault([stream(STREAM[0], event(OVERLOADED), DONE)], "stream_error", "CUDA out of memory"),
    "no end": Fault([stream(STREAM[0])], "incomplete", "without [DONE]"),
    "no usage": Fault([stream(STREAM[0], STREAM[1], DONE)], "no_usage", "sent no usage"),
    "no token": Fault([stream(event(WITHOUT_TEXT), event(USAGE), DONE)], "empty", "contained no token"),
    "no event": Fault([stream()], "incomplete", "without [DONE]"),
    "an error under status 200": Fault([plain(b'{"error":{"message":"no memory"}}')], "stream_error", "no memory"),
    "a completion that is not streamed": Fault([plain(COMPLETION)], "incomplete", "not a stream of events"),
    "a page": Fault([plain(b"<h1>Sign in</h1>", "Content-Type: text/html")], "incomplete", "<h1>Sign in</h1>"),
    "gzip": Fault([plain(gzip.compress(BODY), "Content-Encoding: gzip")], "incomplete", "not a stream of events"),
    "a header of 1 MB": Fault([send(head("200 OK", "X: " + "a" * 1_000_000))], "malformed", "headers are longer"),
    "a header without an end": Fault([send(b"HTTP/1.1 200 OK\r\nX: "), endless(NOISE)], "malformed", "headers are"),
    "headers without an end": Fault([send(b"HTTP/1.1 200 OK\r\n"), endless(b"X: y\r\n" * 999)], "malformed", "headers"),
    "interim answers without an end": Fault([endless(head("100 Continue") * 999)], "malformed", "headers are longer"),
    "a line without an end": Fault([send(CHUNKED), endless(chunk(NOISE))], "too_long", "the answer is longer than"),
    "tokens without an end": Fault([send(CHUNKED), endless(chunk(STREAM[0]) * 99)], "too_long", "longer than"),
    "a body without an end": Fault([send(head()), endless(NOISE)], "too_long", "the answer is longer than"),
    "a chunk extension without an end": Fault([send(CHUNKED + b"5;a="), endless(NOISE)], "too_long", "longer than"),
    "a trailer without an end": Fault(
        [send(CHUNKED + chunk(BODY) + b"0\r\nX: "), endless(NOISE)], "too_long", "longer"
    ),
}


@contextmanager
def partly(faulty: Script, tls: ssl.SSLContext | None = None) -> Iterator[Played]:
    """A server that answers all requests but some, which it knows by their bodies even when they are sent again."""
    seen: dict[bytes, int] = {}

    def script_of(number: int) -> Script:
        return faulty if seen.setdefault(played.requests[number], len(seen)) % (REQUESTS // FAULTY) == 1 else ANSWER

    with served(script_of, tls) as played:
        yield played


def level(played: Played, **changes: Any) -> Kept:
    target = Target(url=played.url, model="m", api="chat", verify_tls=False)
    return Kept(plan(played.url, **{"target": target, "requests": REQUESTS, "warmup_requests": 0, **changes}))


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_a_sample_that_says_what_it_was_and_the_other_requests_are_answered(fault: Fault) -> None:
    with partly(fault.script) as played:
        measured = level(played, **fault.changes).measure()
    assert kinds(measured.samples) == {None: REQUESTS - FAULTY, fault.kind: FAULTY}
    assert (measured.tally.completed, measured.tally.failed) == (REQUESTS - FAULTY, FAULTY)
    for made in measured.samples:
        assert made.ended_s is not None
        if made.error_kind:
            assert fault.says in (made.error_message or "")
        else:
            assert (made.chunk_tokens, made.output_tokens, made.unaccounted_tokens) == ([1, 1], 2, 0)


OVER_TLS = (
    "reset before the headers",
    "closed after a token",
    "a stall within a chunk",
    "500",
    "not HTTP",
    "a header of 1 MB",
    "a line without an end",
)


@pytest.mark.parametrize("name", OVER_TLS)
def test_over_tls_a_fault_is_the_same_sample(name: str) -> None:
    fault = FAULTS[name]
    with partly(fault.script, server_tls()) as played:
        measured = level(played, **fault.changes).measure()
    assert kinds(measured.samples) == {None: REQUESTS - FAULTY, fault.kind: FAULTY}


HARMLESS: dict[str, Script] = {
    "dripped": dripped(CHUNKED_ANSWER),
    "a second answer": [send(CHUNKED_ANSWER + CHUNKED_ANSWER)],
    "garbage after the answer": [send(CHUNKED_ANSWER + b"garbage")],
    "garbage after [DONE]": [stream(*STREAM, b"data: {\n\n", b"garbage")],
    "closed after the answer": [send(CHUNKED_ANSWER), hang_up],
    "reset after the answer": [send(CHUNKED_ANSWER), pause(0.001), reset],
    "half-closed after the answer": [send(CHUNKED_ANSWER), half_close_or_hang_up],
    "an announced end": [send(CHUNKED_ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))],
}


@pytest.mark.parametrize("script", HARMLESS.values(), ids=HARMLESS)
@PLAIN_AND_TLS
def test_what_a_server_does_after_a_whole_answer_is_no_fault_of_any_request(script: Script, tls: bool) -> None:
    with partly(script, server_tls() if tls else None) as played:
        measured = level(played).measure()
    assert kinds(measured.samples) == {None: REQUESTS}
    assert all(made.chunk_offsets_s[0] > 0 for made in measured.samples)


def test_where_nothing_listens_each_request_is_a_sample_and_the_level_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    measured = Kept(plan(f"http://127.0.0.1:{port}")).measure()
    assert kinds(measured.samples) == {"connection": 48}
    assert "refused" in (measured.samples[0].error_message or "")


def test_a_server_that_ends_in_the_middle_leaves_samples_of_refused_connections() -> None:
    async def end(_writer: asyncio.StreamWriter) -> None:
        assert played.server
        played.server.close()

    def script_of(number: int) -> Script:
        return ANSWER if number < 10 else [end, hang_up]

    with served(script_of) as played:
        measured = level(played).measure()
    found = kinds(measured.samples)
    assert found[None] == 10
    assert found["connection"] + found["reset"] == REQUESTS - 10
    assert found["connection"] >= REQUESTS - 14


def test_a_certificate_that_is_not_trusted_is_a_fault_of_each_request() -> None:
    with served(lambda _: ANSWER, server_tls()) as played:
        measured = level(played, target=Target(url=played.url, model="m", api="chat"), requests=8).measure()
    assert kinds(measured.samples) == {"tls": 8}
    assert {"certificate verify failed" in (made.error_message or "") for made in measured.samples} == {True}


def unable(greeting: list[Action], scheme: str = "http", **changes: Any) -> Counter[str | None]:
    """What becomes of eight requests to a server that does this with each connection, before it is asked anything."""
    with served(lambda _: ANSWER, greeting=greeting) as played:
        url = played.url.replace("http:", f"{scheme}:")
        return kinds(Kept(plan(url, requests=8, warmup_requests=0, **changes)).measure().samples)


def test_a_server_without_tls_is_a_fault_of_each_request() -> None:
    assert unable([send(error("400 Bad Request", {})), hang_up], "https") == {"tls": 8}


def test_a_server_that_hangs_up_in_the_handshake_is_a_fault_of_each_request() -> None:
    found = unable([hang_up], "https")  # what is heard of it depends on whether it had read our greeting
    assert found["tls"] + found["connection"] == 8


def test_a_server_that_resets_the_handshake_is_a_fault_of_each_request() -> None:
    assert unable([reset], "https") == {"connection": 8}


def test_a_server_that_is_silent_in_the_handshake_is_a_timeout_of_each_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shapebench.load.level.OPENING_TIMEOUT_S", 0.1)
    assert unable([forever], "https", request_timeout_s=0.3) == {"timeout": 8}


def test_a_server_that_greets_is_a_fault_of_each_request() -> None:
    assert unable([send(b"220 smtp.example.org ESMTP\r\n"), forever]) == {"malformed": 8}


def test_a_server_that_hangs_up_on_each_connection_is_a_fault_of_each_request() -> None:
    assert unable([hang_up]) == {"reset": 8}


LARGE = RequestMix(
    PromptSizing(("a" * 1_200_000,)), Lengths(20, 0), Lengths(10, 0), seed=1
)  # more than the kernel takes at once


def test_a_server_that_never_reads_the_whole_request_is_a_timeout() -> None:
    found = unable([forever], mix=LARGE, concurrency=8, request_timeout_s=1.5)
    assert found == {"timeout": 8}


def test_a_server_that_resets_a_connection_on_which_a_request_is_being_sent_is_a_fault_of_it() -> None:
    assert unable([pause(0.3), reset], mix=LARGE, concurrency=8) == {"reset": 8}


IN_FLIGHT = {
    "before the headers": [forever],
    "within the headers": [send(CHUNKED[:30]), forever],
    "after the headers": [send(CHUNKED), forever],
    "after a token": [send(CHUNKED + chunk(STREAM[0])), forever],
    "within a chunk": [send(CHUNKED + chunk(STREAM[0])[:50]), forever],
    "in a flood of tokens": [send(CHUNKED), again_and_again(chunk(STREAM[0]), 0.001)],
    "after the last token": [send(CHUNKED_ANSWER[:-5]), forever],
}


def stopped(level: Kept, when: Callable[[], bool]) -> Counter[str | None]:
    """The level, stopped as soon as the condition holds, or soon after; it has to end by itself then."""
    looks: list[bool] = []

    def look() -> None:
        looks.append(when())
        if sum(looks) == 5:
            level.stop()

    level.loop.call_every(0.01, look)
    return kinds(level.measure().samples)


@PLAIN_AND_TLS
@pytest.mark.parametrize("script", IN_FLIGHT.values(), ids=IN_FLIGHT)
def test_stopping_in_any_phase_of_an_answer_ends_the_level_and_keeps_what_was_before(script: Script, tls: bool) -> None:
    def script_of(number: int) -> Script:
        return ANSWER if number < 4 else script

    with served(script_of, server_tls() if tls else None) as played:
        found = stopped(level(played), lambda: played.in_flight == 4 and len(played.requests) == 8)
    assert found == {None: 4, "interrupted": 4}


def test_stopping_while_long_requests_are_being_sent_ends_the_level() -> None:
    with served(lambda _: ANSWER, greeting=[forever]) as played:
        found = stopped(level(played, mix=LARGE, concurrency=2), lambda: played.connections == 2)
    assert set(found) <= {"interrupted"}


def test_stopping_while_hands_are_shaken_ends_the_level() -> None:
    with served(lambda _: ANSWER, greeting=[forever]) as played:
        url = played.url.replace("http:", "https:")
        assert stopped(Kept(plan(url)), lambda: played.connections == 4) == {}


def test_stopping_while_streams_wait_for_a_server_that_is_gone_keeps_the_samples() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    level = Kept(plan(f"http://127.0.0.1:{port}", requests=1_000_000))
    found = stopped(level, lambda: level.tally.failed > 0)
    assert set(found) == {"connection"}
