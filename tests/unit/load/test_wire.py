"""One connection against a server that plays what real and broken servers send."""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
import uvloop

from shapebench.load.plan import Target
from shapebench.load.requests import writer
from shapebench.load.samples import Sample, sample
from shapebench.load.wire import Answer, Connection
from shapebench.workload import Ask
from tests.scripted_server import (
    CHUNKED,
    CHUNKED_ANSWER,
    STREAM,
    Played,
    Script,
    chunk,
    error,
    hang_up,
    head,
    pause,
    playing,
    reset,
    send,
)

BODY = b"".join(STREAM)
LENGTH = f"Content-Length: {len(BODY)}"
ASK = Ask(0, warmup=False, prompt="a", input_tokens=20, output_tokens=2)
LONG_S = 30.0


def target(url: str, ca_file: Path | None = None) -> Target:
    return Target(url=url, model="m", api="chat", ca_file=str(ca_file) if ca_file else None)


def exchanges(*scripts: Script, timeout_s: float = LONG_S) -> tuple[list[Answer], Played]:
    """One connection sends a request for each script, one after the other."""

    async def run() -> tuple[list[Answer], Played]:
        async with playing(lambda number: scripts[number]) as played:
            connection = Connection(target(played.url))
            request = writer(target(played.url), None)(ASK)
            answers = []
            while len(played.requests) < len(scripts):
                answers.append(await connection.exchange(request, timeout_s))
                for _ in range(5):  # turns of the loop: what else the server does, reaches us before the next request
                    await asyncio.sleep(0.002)
            connection.close()
            return answers, played

    return uvloop.run(run())


def exchange(*actions: Callable[..., Awaitable[None]], timeout_s: float = LONG_S) -> Sample:
    [answer], _ = exchanges(list(actions), timeout_s=timeout_s)
    return sample(ASK, 0, answer)


def unserved(url: str, timeout_s: float = LONG_S, ca_file: Path | None = None) -> Sample:
    """What an exchange with something that is no scripted server comes to."""

    async def run() -> Answer:
        return await Connection(target(url, ca_file)).exchange(writer(target(url), None)(ASK), timeout_s)

    return sample(ASK, 0, uvloop.run(run()))


WHOLE = {
    "chunked": CHUNKED_ANSWER,
    "chunk extensions": CHUNKED + b"%x;ext=1\r\n%b\r\n0;last\r\n\r\n" % (len(BODY), BODY),
    "trailers": CHUNKED + chunk(BODY) + b"0\r\nX-Checksum: 1\r\n\r\n",
    "content-length": head("200 OK", LENGTH) + BODY,
    "100-continue before it": head("100 Continue") + head("200 OK", LENGTH) + BODY,
    "early hints before it": head("103 Early Hints", "Link: </a>") + CHUNKED_ANSWER,
    "no reason phrase": head("200", LENGTH) + BODY,
}


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
def test_an_answer_is_whole_however_it_is_framed(text: bytes) -> None:
    made = exchange(send(text))
    assert (made.error_kind, made.http_status, made.chunk_tokens, made.output_tokens) == (None, 200, [1, 1], 2)


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
def test_an_answer_is_whole_though_its_bytes_drip(text: bytes) -> None:
    drips = [send(text[place : place + 1]) for place in range(len(text))]
    made = exchange(*(act for drip in drips for act in (drip, pause(0))))
    assert (made.error_kind, made.chunk_tokens) == (None, [1, 1])


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    made = exchange(send(head() + BODY), hang_up)
    assert (made.error_kind, made.chunk_tokens) == (None, [1, 1])


def test_tokens_are_stamped_when_they_arrive() -> None:
    wait_s = 0.05
    made = exchange(
        send(CHUNKED), *(act for text in STREAM for act in (pause(wait_s), send(chunk(text)))), send(chunk(b""))
    )
    first_s, second_s = made.chunk_offsets_s
    # The server's timer may be early by a millisecond, which is how finely uvloop counts; how late is no promise.
    assert first_s >= wait_s - 0.002
    assert second_s - first_s >= wait_s - 0.002
    assert made.ended_s is not None
    assert made.ended_s > second_s


def test_a_connection_is_used_again() -> None:
    answers, played = exchanges([send(CHUNKED_ANSWER)], [send(CHUNKED_ANSWER)], [send(WHOLE["content-length"])])
    assert [answer.fault for answer in answers] == [None] * 3
    assert played.connections == 1


def test_a_connection_that_the_server_says_it_will_close_is_not_used_again() -> None:
    closing = head("200 OK", LENGTH, "Connection: close") + BODY
    answers, played = exchanges([send(closing)], [send(CHUNKED_ANSWER)])
    assert [answer.fault for answer in answers] == [None, None]
    assert played.connections == 2


@pytest.mark.parametrize("end", [hang_up, reset])
def test_a_connection_closed_between_requests_is_opened_anew(end: Callable[..., Awaitable[None]]) -> None:
    answers, played = exchanges([send(CHUNKED_ANSWER), pause(0.001), end], [send(CHUNKED_ANSWER)])
    assert [answer.fault for answer in answers] == [None, None]
    assert played.connections == 2


@pytest.mark.parametrize("end", [hang_up, reset])
def test_a_request_that_meets_a_closing_connection_is_sent_again(end: Callable[..., Awaitable[None]]) -> None:
    answers, played = exchanges([send(CHUNKED_ANSWER)], [end], [send(CHUNKED_ANSWER)])
    assert [answer.fault for answer in answers] == [None, None]
    assert (played.connections, len(played.requests)) == (2, 3)


def test_a_request_on_which_the_server_had_begun_to_work_is_not_sent_again() -> None:
    answers, played = exchanges([send(CHUNKED_ANSWER)], [pause(0.3), reset])
    assert [answer.fault and answer.fault[0] for answer in answers] == [None, "reset"]
    assert len(played.requests) == 2


def test_a_request_is_sent_again_only_once() -> None:
    answers, played = exchanges([send(CHUNKED_ANSWER)], [reset], [reset])
    assert [answer.fault and answer.fault[0] for answer in answers] == [None, "reset"]
    assert len(played.requests) == 3


def test_what_comes_unasked_ends_the_connection_and_not_the_answer() -> None:
    answers, played = exchanges([send(CHUNKED_ANSWER + CHUNKED_ANSWER)], [send(CHUNKED_ANSWER)])
    assert [sample(ASK, 0, answer).chunk_tokens for answer in answers] == [[1, 1], [1, 1]]
    assert played.connections == 2


def test_what_comes_while_nothing_is_asked_ends_the_connection() -> None:
    idle = error("408 Request Timeout", {})
    answers, played = exchanges([send(CHUNKED_ANSWER), pause(0.001), send(idle)], [send(CHUNKED_ANSWER)])
    assert [answer.status for answer in answers] == [200, 200]
    assert played.connections == 2


def test_garbage_after_an_answer_ends_the_connection_and_not_the_answer() -> None:
    answers, played = exchanges([send(CHUNKED_ANSWER + b"garbage")], [send(CHUNKED_ANSWER)])
    assert [answer.fault for answer in answers] == [None, None]
    assert played.connections == 2


BROKEN: dict[str, tuple[list[Callable[..., Awaitable[None]]], str]] = {
    "reset before the headers": ([reset], "reset"),
    "closed before the headers": ([hang_up], "reset"),
    "reset within the headers": ([send(CHUNKED[:20]), pause(0.02), reset], "reset"),
    "reset after the headers": ([send(CHUNKED), pause(0.02), reset], "reset"),
    "closed after the headers": ([send(CHUNKED), hang_up], "reset"),
    "closed within the body": ([send(head("200 OK", LENGTH) + BODY[:-1]), hang_up], "reset"),
    "reset where nothing says how long it is": ([send(head() + BODY[:50]), pause(0.02), reset], "reset"),
    "not HTTP": ([send(b"SSH-2.0-OpenSSH_9.6\r\n")], "malformed"),
    "garbage in a header": ([send(b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n")], "malformed"),
    "a null byte in a header": ([send(b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n")], "malformed"),
    "a chunk without a size": ([send(CHUNKED + b"zz\r\n")], "malformed"),
    "two lengths": ([send(head("200 OK", "Content-Length: 1", "Content-Length: 2") + b"ab")], "malformed"),
    "another protocol": ([send(head("101 Switching Protocols", "Upgrade: h2c", "Connection: upgrade"))], "malformed"),
    "no body": ([send(head("200 OK", "Content-Length: 0"))], "incomplete"),
    "a page": ([send(head("200 OK", "Content-Length: 9") + b"<h1>hi</h")], "incomplete"),
    "no end": ([send(CHUNKED + chunk(STREAM[0]) + chunk(b""))], "incomplete"),
}


@pytest.mark.parametrize(("script", "kind"), BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_a_sample_with_its_fault(script: list[Callable[..., Awaitable[None]]], kind: str) -> None:
    made = exchange(*script, timeout_s=10)
    assert made.error_kind == kind
    assert made.error_message


@pytest.mark.parametrize(("script", "kind"), BROKEN.values(), ids=BROKEN)
def test_after_a_broken_answer_the_next_one_is_whole(script: Script, kind: str) -> None:
    (broken, whole), _ = exchanges(script, [send(CHUNKED_ANSWER)])
    assert sample(ASK, 0, broken).error_kind == kind
    assert whole.fault is None


def test_tokens_that_came_before_a_reset_are_kept() -> None:
    made = exchange(send(CHUNKED + chunk(STREAM[0])), pause(0.05), reset)
    assert (made.error_kind, made.chunk_tokens) == ("reset", [1])


@pytest.mark.parametrize(
    "script",
    [[], [send(CHUNKED)], [send(CHUNKED + chunk(STREAM[0]))]],
    ids=["before the headers", "after the headers", "after a token"],
)
def test_an_answer_that_takes_too_long_is_a_timeout(script: Script) -> None:
    made = exchange(*script, pause(60), timeout_s=0.2)
    assert made.error_kind == "timeout"
    assert made.error_message == "no complete answer within 0.2 s"
    assert made.ended_s is not None
    assert made.ended_s >= 0.19


def test_nothing_listens_is_a_connection_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    made = unserved(f"http://127.0.0.1:{port}")
    assert made.error_kind == "connection"
    assert "refused" in (made.error_message or "")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 64])
def test_a_name_without_an_address_is_a_dns_fault(host: str) -> None:
    assert unserved(f"http://{host}:8000").error_kind == "dns"


def unanswering(stack: ExitStack) -> str:
    """The address of a listener whose queue is full, so that connecting to it takes for ever."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(4):
        line = stack.enter_context(socket.socket())
        line.setblocking(False)
        line.connect_ex(listener.getsockname())
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_connection_that_takes_too_long_is_a_timeout() -> None:
    with ExitStack() as stack:
        made = unserved(unanswering(stack), timeout_s=0.2)
    assert (made.error_kind, made.error_message) == ("timeout", "no connection within 0.2 s")
    assert made.ended_s is not None
    assert made.ended_s >= 0.19


def stopped_after(seconds: float, url: str) -> Answer:
    async def run() -> Answer:
        connection = Connection(target(url))
        pending = asyncio.create_task(connection.exchange(writer(target(url), None)(ASK), LONG_S))
        await asyncio.sleep(seconds)
        connection.stop()
        return await pending

    begun_s = time.monotonic()
    answer = uvloop.run(run())
    assert time.monotonic() - begun_s < LONG_S / 2
    return answer


def test_stopping_ends_an_attempt_to_connect() -> None:
    with ExitStack() as stack:
        assert stopped_after(0.1, unanswering(stack)).fault == ("interrupted", "the measurement was stopped")


def test_stopping_ends_a_handshake() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = stopped_after(0.1, f"https://127.0.0.1:{silent.getsockname()[1]}")
    assert answer.fault == ("interrupted", "the measurement was stopped")


def test_stopping_at_any_moment_leaves_no_exchange_waiting() -> None:
    """The server never answers: whatever is not cut off would wait for ever."""

    async def run() -> list[Answer]:
        async with playing(lambda _: [pause(60)]) as played:
            connections = [Connection(target(played.url)) for _ in range(20)]
            request = writer(target(played.url), None)(ASK)
            pending = [asyncio.create_task(connection.exchange(request, 60)) for connection in connections]
            for connection in connections:
                connection.stop()
                await asyncio.sleep(0)
            async with asyncio.timeout(20):
                return list(await asyncio.gather(*pending))

    assert {answer.fault and answer.fault[0] for answer in uvloop.run(run())} == {"interrupted"}


REFUSALS = {
    "404 Not Found": "The model `m` does not exist.",
    "400 Bad Request": "This model's maximum context length is 4096 tokens.",
    "500 Internal Server Error": "EngineCore encountered an issue.",
    "503 Service Unavailable": "draining",
}


@pytest.mark.parametrize(("status", "message"), REFUSALS.items())
def test_a_refusal_keeps_the_server_s_message(status: str, message: str) -> None:
    made = exchange(send(error(status, {"error": {"message": message, "type": "T", "code": 1}})))
    assert (made.error_kind, made.http_status) == ("http_status", int(status[:3]))
    assert made.error_message == f"HTTP {status[:3]}: {message}"


def test_a_refusal_leaves_the_connection_usable() -> None:
    refused = error("503 Service Unavailable", {"error": {"message": "busy"}})
    answers, played = exchanges([send(refused)], [send(CHUNKED_ANSWER)])
    assert [answer.status for answer in answers] == [503, 200]
    assert played.connections == 1


def test_too_many_requests_says_when_to_come_again() -> None:
    made = exchange(send(error("429 Too Many Requests", {"error": {"message": "slow down"}}, "Retry-After: 7")))
    assert (made.http_status, made.error_message) == (429, "HTTP 429: slow down (retry-after: 7)")


@pytest.mark.parametrize("status", ["301 Moved Permanently", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_a_redirect_is_not_followed_and_says_where_it_leads(status: str) -> None:
    made = exchange(send(head(status, "Location: https://example.org/v1/chat/completions", "Content-Length: 0")))
    assert made.error_kind == "http_status"
    assert made.error_message == f"HTTP {status[:3]} (location: https://example.org/v1/chat/completions)"


def test_a_key_and_a_path_prefix_are_in_the_request() -> None:
    request = writer(target("http://example.org:81/api/x"), "secret")(ASK)
    assert request.startswith(b"POST /api/x/v1/chat/completions HTTP/1.1\r\nHost: example.org:81\r\n")
    assert b"\r\nAuthorization: Bearer secret\r\n" in request


def guarded(script: Script, trusted: bool, tmp_path: Path) -> Sample:
    """An exchange over TLS, with a certificate whose authority is trusted or not."""
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    (authority if trusted else stranger).cert_pem.write_to_path(str(ca_file))

    async def run() -> Answer:
        async with playing(lambda _: script, context) as played:
            connection = Connection(target(played.url, ca_file))
            answer = await connection.exchange(writer(target(played.url), None)(ASK), LONG_S)
            connection.close()
            return answer

    return sample(ASK, 0, uvloop.run(run()))


def test_a_trusted_certificate_makes_a_connection(tmp_path: Path) -> None:
    made = guarded([send(CHUNKED_ANSWER)], trusted=True, tmp_path=tmp_path)
    assert (made.error_kind, made.chunk_tokens) == (None, [1, 1])


def test_a_certificate_that_is_not_trusted_is_a_tls_fault(tmp_path: Path) -> None:
    made = guarded([send(CHUNKED_ANSWER)], trusted=False, tmp_path=tmp_path)
    assert made.error_kind == "tls"
    assert "certificate verify failed" in (made.error_message or "")


def test_a_certificate_that_is_not_to_be_checked_makes_a_connection(tmp_path: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("elsewhere.example").configure_cert(context)

    async def run() -> Answer:
        async with playing(lambda _: [send(CHUNKED_ANSWER)], context) as played:
            blind = Target(url=played.url, model="m", api="chat", verify_tls=False)
            connection = Connection(blind)
            answer = await connection.exchange(writer(blind, None)(ASK), LONG_S)
            connection.close()
            return answer

    assert uvloop.run(run()).fault is None


def test_a_connection_over_tls_that_breaks_off_is_a_reset(tmp_path: Path) -> None:
    assert guarded([send(CHUNKED), reset], trusted=True, tmp_path=tmp_path).error_kind == "reset"


def test_plain_http_where_tls_was_asked_for_is_a_tls_fault() -> None:
    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(error("400 Bad Request", {}))
        writer.close()

    async def run() -> Answer:
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            return await Connection(target(url)).exchange(writer(target(url), None)(ASK), LONG_S)

    assert sample(ASK, 0, uvloop.run(run())).error_kind == "tls"
