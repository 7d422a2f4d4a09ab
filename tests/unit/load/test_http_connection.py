"""One connection against servers that send what real and broken ones send, on plain TCP and over TLS."""

import itertools
import re
import select
import selectors
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Self

import orjson
import pytest
import trustme

from shapebench.apis.openai import CHAT
from shapebench.apis.reading import Reading
from shapebench.apis.request_body import request_writer
from shapebench.apis.stream_reader import read
from shapebench.apis.target import Credentials, PlannedRequest, Target
from shapebench.load.http_connection import MAX_HEAD_BYTES, Answer, Connection
from shapebench.load.sample_writer import sample
from shapebench.probe.route import Route, resolve
from shapebench.runs.samples_file import Sample
from shapebench.support.event_loop import EventLoop
from shapebench.support.timestamps import Receive, Stamps
from tests.scripted_server import (
    CHUNKED,
    CHUNKED_ANSWER,
    STREAM,
    Action,
    ByHand,
    Played,
    Script,
    chunk,
    dripped,
    error,
    forever,
    half_close,
    hang_up,
    head,
    pause,
    reset,
    send,
    served,
)
from tests.unit.apis.test_sse import NAMES, RECORDED, body

BODY = b"".join(STREAM)
LENGTH = f"Content-Length: {len(BODY)}"
ASK = PlannedRequest(0, warmup=False, prompt="a", input_tokens=20, output_tokens=2)
LIMIT_BYTES = 1 << 22
PLAIN_AND_TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


def target(url: str, ca_file: Path | None = None) -> Target:
    return Target(url=url, model="m", api="chat", ca_file=str(ca_file) if ca_file else None)


TARGET = target("http://localhost")
REQUEST = request_writer(TARGET, Credentials())(ASK)


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@cache
def server_tls(name: str = "127.0.0.1") -> ssl.SSLContext:
    """A server's context, with a certificate of `authority`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority().issue_cert(name).configure_cert(context)
    return context


@cache
def client_tls() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority().cert_pem.bytes().decode())


def route(url: str) -> Route:
    """To a server whose certificate is of `authority`, where it has one."""
    found = resolve(Target(url=url, model="m", api="chat", verify_tls=False))
    return replace(found, tls=client_tls() if found.tls else None)


class CountingStamps(Stamps):
    """Counts what was received, sealed or not."""

    received_bytes = 0

    def receiver(self, line: socket.socket) -> Receive:
        receive = super().receiver(line)

        def counting() -> tuple[bytes, int]:
            data, arrival_ns = receive()
            self.received_bytes += len(data)
            return data, arrival_ns

        return counting


class Client:
    """A connection with a loop that turns when the test says so."""

    def __init__(self, route: Route, *, kernel: bool | None = None) -> None:
        self.loop = EventLoop()
        self.stamps = CountingStamps() if kernel is None else CountingStamps(kernel)
        self.connection = Connection(self.loop, route, self.stamps)
        self.connection.done = self._on_answer
        self.answers: list[Answer] = []

    def _on_answer(self, answer: Answer) -> None:
        self.answers.append(answer)
        self.loop.stop()

    def send(self, request: bytes = REQUEST, limit_bytes: int = LIMIT_BYTES) -> None:
        self.connection.send(request, limit_bytes)

    def ask(self, request: bytes = REQUEST, limit_bytes: int = LIMIT_BYTES) -> Answer:
        """A whole exchange."""
        self.send(request, limit_bytes)
        self.loop.run()
        return self.answers[-1]

    def turn(self) -> None:
        """Once, without waiting."""
        self.loop.call_soon(self.loop.stop)
        self.loop.run()

    def turn_until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self.turn()

    def take_all_from(self, server: ByHand) -> None:
        self.turn_until(lambda: self.stamps.received_bytes == server.sent_bytes)

    def idle(self, seconds: float) -> None:
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        self.loop.close()


def exchanges(*scripts: Script, tls: bool = False) -> tuple[list[Answer], Played]:
    """One connection sends a request for each script, one after the other."""
    with (
        served(lambda number: scripts[number], server_tls() if tls else None) as played,
        Client(route(played.url)) as client,
    ):
        while len(played.requests) < len(scripts):
            client.ask()
            client.idle(0.01)  # what else the server does, reaches us before the next request, or else after it
        return client.answers, played


def exchange(*actions: Action, tls: bool = False) -> Sample:
    [answer], _ = exchanges(list(actions), tls=tls)
    return sample(TARGET, ASK, 0, answer)


def unserved(url: str, ca_file: Path | None = None) -> Sample:
    """What an exchange with something that is no scripted server comes to."""
    with Client(resolve(target(url, ca_file))) as client:
        return sample(TARGET, ASK, 0, client.ask())


@contextmanager
def by_hand(*, tls: bool = False, kernel: bool | None = None) -> Iterator[tuple[ByHand, Client]]:
    """A connection that is open, with both ends in this thread."""
    with closing(ByHand(server_tls() if tls else None)) as server, Client(route(server.url), kernel=kernel) as client:
        client.connection.connect()
        client.turn()
        server.accept()
        while not (server.shake_hands() and client.connection.open):
            client.turn()
        client.take_all_from(server)
        yield server, client


WHOLE = {
    "chunked": CHUNKED_ANSWER,
    "chunk extensions": CHUNKED + b"%x;ext=1\r\n%b\r\n0;last\r\n\r\n" % (len(BODY), BODY),
    "trailers": CHUNKED + chunk(BODY) + b"0\r\nX-Checksum: 1\r\n\r\n",
    "content-length": head("200 OK", LENGTH) + BODY,
    "100-continue before it": head("100 Continue") + head("200 OK", LENGTH) + BODY,
    "early hints before it": head("103 Early Hints", "Link: </a>") + CHUNKED_ANSWER,
    "no reason phrase": head("200", LENGTH) + BODY,
    "events that end in CRLF": CHUNKED + chunk(BODY.replace(b"\n", b"\r\n")) + chunk(b""),
    "comments": CHUNKED + b"".join(chunk(b": ping\n\n" + text) for text in STREAM) + chunk(b""),
    "data on several lines": CHUNKED + chunk(BODY.replace(b',"choices"', b',\ndata: "choices"')) + chunk(b""),
}


@PLAIN_AND_TLS
@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
def test_an_answer_is_whole_however_it_is_framed(text: bytes, tls: bool) -> None:
    made = exchange(send(text), tls=tls)
    assert (made.error_kind, made.http_status, made.chunk_tokens, made.output_tokens) == (None, 200, [1, 1], 2)


@PLAIN_AND_TLS
@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
def test_an_answer_is_whole_though_its_bytes_drip(text: bytes, tls: bool) -> None:
    with by_hand(tls=tls) as (server, client):
        client.send()
        server.hear(len(REQUEST))
        for place in range(len(text)):
            server.send(text[place : place + 1])
            client.turn()
        client.turn_until(lambda: client.answers)
    made = sample(TARGET, ASK, 0, client.answers[0])
    assert (made.error_kind, made.chunk_tokens) == (None, [1, 1])


def recorded(name: str) -> list[bytes]:
    """An answer as vLLM sent it: its headers, the chunks of its body, and the last chunk."""
    headers = (RECORDED / name).read_bytes().partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    return [headers, *map(chunk, re.findall(rb".*?\n\n", body(name), re.DOTALL)), chunk(b"")]


def carriers(parts: list[bytes]) -> list[int]:
    """Which parts carry tokens."""
    reading = Reading()
    read(CHAT, [(place, part.partition(b"\r\n")[2], len(part)) for place, part in enumerate(parts) if place], reading)
    return reading.arrivals_ns


@PLAIN_AND_TLS
@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_answer_that_is_cut_at_any_byte_is_the_same_and_each_token_has_the_arrival_of_its_last_byte(
    name: str, tls: bool
) -> None:
    parts = recorded(name)
    with by_hand(tls=tls) as (server, client):
        for place in itertools.count(1):
            client.send()
            server.hear(len(REQUEST))
            sealed = [server.sealed(part) for part in parts]
            # On plain TCP a token is there before the line end that closes its chunk.
            ends = [end - (0 if tls else 2) for end in itertools.accumulate(map(len, sealed))]
            text = b"".join(sealed)
            server.put(text[:place])
            client.take_all_from(server)
            server.put(text[place:])
            client.turn_until(lambda: client.answers)
            answer = client.answers.pop()
            early = sum(ends[part] <= place for part in carriers(parts))
            made = sample(TARGET, ASK, 0, answer)
            assert (made.error_kind, made.unaccounted_tokens, made.finish_reason) == (None, 0, "length")
            last_early = max(made.chunk_offsets_s[:early], default=0.0)
            assert all(offset_s > last_early for offset_s in made.chunk_offsets_s[early:])
            if place + 1 >= len(text):
                break
    assert client.stamps.source == "kernel"


@PLAIN_AND_TLS
def test_the_successor_of_a_request_is_sent_in_the_turn_in_which_its_answer_ends(tls: bool) -> None:
    with by_hand(tls=tls) as (server, client):
        client.connection.done = lambda _: client.send()
        client.send()
        server.hear(len(REQUEST))
        server.send(CHUNKED_ANSWER)
        client.take_all_from(server)  # ends after the turn that received the last byte
        assert server.hear(len(REQUEST)) == REQUEST


def test_tokens_of_one_receive_share_their_arrival() -> None:
    with by_hand() as (server, client):
        client.send()
        server.send(CHUNKED_ANSWER)
        client.turn_until(lambda: client.answers)
    first_s, second_s = sample(TARGET, ASK, 0, client.answers[0]).chunk_offsets_s
    assert first_s == second_s


@PLAIN_AND_TLS
def test_an_answer_without_a_length_ends_with_the_connection(tls: bool) -> None:
    made = exchange(send(head() + BODY), hang_up, tls=tls)
    assert (made.error_kind, made.chunk_tokens) == (None, [1, 1])


def test_an_answer_ends_where_tls_says_so_though_the_server_leaves_the_line_open() -> None:
    with by_hand(tls=True) as (server, client):
        client.send()
        server.hear(len(REQUEST))
        server.put(server.sealed(head() + BODY) + server.farewell())
        client.turn_until(lambda: client.answers)
    assert sample(TARGET, ASK, 0, client.answers[0]).error_kind is None


def test_tokens_are_stamped_when_they_arrive() -> None:
    wait_s = 0.05
    made = exchange(
        send(CHUNKED), *(act for text in STREAM for act in (pause(wait_s), send(chunk(text)))), send(chunk(b""))
    )
    first_s, second_s = made.chunk_offsets_s
    # The server's timer may be early by a millisecond; how late is no promise.
    assert first_s >= wait_s - 0.002
    assert second_s - first_s >= wait_s - 0.002
    assert made.ended_s is not None
    assert made.ended_s > second_s


@PLAIN_AND_TLS
def test_a_connection_is_used_again(tls: bool) -> None:
    answers, played = exchanges(
        [send(CHUNKED_ANSWER)], [send(CHUNKED_ANSWER)], [send(WHOLE["content-length"])], tls=tls
    )
    assert [answer.fault for answer in answers] == [None] * 3
    assert played.connections == 1


def test_a_connection_that_the_server_says_it_will_close_is_not_used_again() -> None:
    closing = head("200 OK", LENGTH, "Connection: close") + BODY
    answers, played = exchanges([send(closing)], [send(CHUNKED_ANSWER)])
    assert [answer.fault for answer in answers] == [None, None]
    assert played.connections == 2


@PLAIN_AND_TLS
@pytest.mark.parametrize("end", [hang_up, reset])
def test_a_connection_closed_between_requests_is_opened_anew(end: Action, tls: bool) -> None:
    answers, played = exchanges([send(CHUNKED_ANSWER), pause(0.001), end], [send(CHUNKED_ANSWER)], tls=tls)
    assert [answer.fault for answer in answers] == [None, None]
    assert played.connections == 2


@PLAIN_AND_TLS
@pytest.mark.parametrize("end", [hang_up, reset])
def test_a_request_that_meets_a_closing_connection_is_sent_again_and_says_so(end: Action, tls: bool) -> None:
    answers, played = exchanges([send(CHUNKED_ANSWER)], [end], [send(CHUNKED_ANSWER)], tls=tls)
    assert [(answer.fault, answer.resent) for answer in answers] == [(None, False), (None, True)]
    assert (played.connections, len(played.requests)) == (2, 3)


def test_a_request_on_which_the_server_had_begun_to_work_is_not_sent_again() -> None:
    answers, played = exchanges([send(CHUNKED_ANSWER)], [pause(0.3), reset])
    assert [answer.fault and answer.fault[0] for answer in answers] == [None, "reset"]
    assert len(played.requests) == 2


def test_a_request_of_which_the_answer_had_begun_is_not_sent_again() -> None:
    answers, played = exchanges([send(CHUNKED_ANSWER)], [send(b"HTTP"), hang_up])
    assert [answer.fault and answer.fault[0] for answer in answers] == [None, "reset"]
    assert len(played.requests) == 2


def test_a_request_is_sent_again_only_once() -> None:
    answers, played = exchanges([send(CHUNKED_ANSWER)], [reset], [reset])
    assert [answer.fault and answer.fault[0] for answer in answers] == [None, "reset"]
    assert len(played.requests) == 3


UNASKED = {
    "a second answer": CHUNKED_ANSWER,
    "the first letter of one": b"H",
    "garbage": b"garbage",
    "an interim answer": head("100 Continue"),
    "a refusal": error("408 Request Timeout", {}),
}


@PLAIN_AND_TLS
@pytest.mark.parametrize("unasked", UNASKED.values(), ids=UNASKED)
def test_what_comes_with_an_answer_unasked_ends_the_connection_and_not_the_answer(unasked: bytes, tls: bool) -> None:
    answers, played = exchanges([send(CHUNKED_ANSWER + unasked)], [send(CHUNKED_ANSWER)], tls=tls)
    assert [(answer.status, sample(TARGET, ASK, 0, answer).chunk_tokens) for answer in answers] == [(200, [1, 1])] * 2
    assert played.connections == 2


@pytest.mark.parametrize("unasked", UNASKED.values(), ids=UNASKED)
def test_what_comes_while_nothing_is_asked_ends_the_connection(unasked: bytes) -> None:
    with (
        served(lambda _: [send(CHUNKED_ANSWER), pause(0.02), send(unasked)]) as played,
        Client(route(played.url)) as client,
    ):
        client.ask()
        client.turn_until(lambda: not client.connection.open)
        client.ask()
    assert [answer.status for answer in client.answers] == [200, 200]
    assert played.connections == 2


def test_a_connection_that_was_opened_ahead_and_ended_is_no_longer_waited_for() -> None:
    with by_hand() as (server, client):
        server.send(b"220 smtp.example.org ESMTP\r\n")
        client.turn_until(lambda: not client.connection.open)
        assert not client.connection.opening


@pytest.mark.parametrize("unasked", UNASKED.values(), ids=UNASKED)
def test_what_came_unasked_is_not_taken_for_the_answer_to_the_next_request(unasked: bytes) -> None:
    with by_hand() as (server, client):
        client.send()
        server.send(CHUNKED_ANSWER)
        client.turn_until(lambda: client.answers)
        server.send(unasked)
        client.send()
        assert not client.connection.open
        server.line.close()
        client.turn_until(lambda: client.connection.open)
        server.accept()
        server.send(CHUNKED_ANSWER)
        client.turn_until(lambda: client.answers[1:])
    assert client.answers[1].fault is None


LONG_BYTES = 20_000_000  # the kernel's buffers on both sides hold less
LONG_REQUEST = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % LONG_BYTES + b" " * LONG_BYTES


def test_a_request_longer_than_the_kernel_takes_at_once_arrives_whole() -> None:
    with served(lambda _: [send(CHUNKED_ANSWER)]) as played, Client(route(played.url)) as client:
        answer = client.ask(LONG_REQUEST)
    assert answer.fault is None
    assert [len(request) for request in played.requests] == [LONG_BYTES]


@PLAIN_AND_TLS
@pytest.mark.parametrize(
    "text", [error("413 Content Too Large", {"error": "too long"}), CHUNKED_ANSWER], ids=["a refusal", "an answer"]
)
def test_an_answer_that_comes_before_the_request_is_sent_in_full_counts_and_ends_the_connection(
    text: bytes, tls: bool
) -> None:
    with by_hand(tls=tls) as (server, client):
        client.send(LONG_REQUEST)
        server.hear(1000)
        server.send(text)
        client.turn_until(lambda: client.answers)
        assert not client.connection.open
    assert client.answers[0].status in (413, 200)
    assert client.answers[0].fault is None


def test_a_refusal_is_heard_though_the_server_hangs_up_before_the_request_is_sent_in_full() -> None:
    with by_hand() as (server, client):
        client.send(LONG_REQUEST)
        server.hear(1000)
        server.send(error("413 Content Too Large", {"error": "too long"}))
        server.line.close()  # with bytes of the request unread, so that the client's next ones are answered by RST
        client.turn_until(lambda: client.answers)
    assert sample(TARGET, ASK, 0, client.answers[0]).error_message == "HTTP 413: too long"


def test_a_server_that_hangs_up_before_the_request_is_sent_in_full_is_a_reset() -> None:
    with by_hand() as (server, client):
        client.send(LONG_REQUEST)
        server.hear(1000)
        server.line.close()
        client.turn_until(lambda: client.answers)
    assert sample(TARGET, ASK, 0, client.answers[0]).error_kind == "reset"


BROKEN: dict[str, tuple[Script, str]] = {
    "reset before the headers": ([reset], "reset"),
    "closed before the headers": ([hang_up], "reset"),
    "half-closed before the headers": ([half_close, forever], "reset"),
    "reset within the headers": ([send(CHUNKED[:20]), pause(0.02), reset], "reset"),
    "reset after the headers": ([send(CHUNKED), pause(0.02), reset], "reset"),
    "closed after the headers": ([send(CHUNKED), hang_up], "reset"),
    "half-closed after a token": ([send(CHUNKED + chunk(STREAM[0])), half_close, forever], "reset"),
    "closed within the body": ([send(head("200 OK", LENGTH) + BODY[:-1]), hang_up], "reset"),
    "reset where nothing says how long it is": ([send(head() + BODY[:50]), pause(0.02), reset], "reset"),
    "closed after an interim answer": ([send(head("100 Continue")), hang_up], "reset"),
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
def test_a_broken_answer_is_a_sample_with_its_fault(script: Script, kind: str) -> None:
    made = exchange(*script)
    assert made.error_kind == kind
    assert made.error_message


@pytest.mark.parametrize(("script", "kind"), BROKEN.values(), ids=BROKEN)
def test_after_a_broken_answer_the_next_one_is_whole(script: Script, kind: str) -> None:
    (broken, whole), _ = exchanges(script, [send(CHUNKED_ANSWER)])
    assert sample(TARGET, ASK, 0, broken).error_kind == kind
    assert whole.fault is None


@PLAIN_AND_TLS
@pytest.mark.parametrize("selector", [selectors.DefaultSelector, selectors.PollSelector, selectors.SelectSelector])
def test_the_selectors_of_other_platforms_carry_exchanges_as_well(
    selector: type[selectors.BaseSelector], tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(select, "epoll")
    monkeypatch.setattr("shapebench.support.event_loop.selectors.DefaultSelector", selector)
    scripts = [[send(CHUNKED_ANSWER), hang_up], dripped(CHUNKED_ANSWER), [send(CHUNKED), reset]]
    answers, _ = exchanges(*scripts, tls=tls)
    assert [sample(TARGET, ASK, 0, answer).error_kind for answer in answers] == [None, None, "reset"]


def test_the_selectors_of_other_platforms_send_a_long_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "epoll")
    with served(lambda _: [send(CHUNKED_ANSWER)]) as played, Client(route(played.url)) as client:
        assert client.ask(LONG_REQUEST).fault is None


def test_tokens_that_came_before_a_reset_are_kept() -> None:
    made = exchange(send(CHUNKED + chunk(STREAM[0])), pause(0.05), reset)
    assert (made.error_kind, made.chunk_tokens) == ("reset", [1])


def test_an_answer_longer_than_its_limit_is_broken_off() -> None:
    with by_hand() as (server, client):
        client.send(limit_bytes=MAX_HEAD_BYTES)
        server.send(CHUNKED + chunk(b":" * MAX_HEAD_BYTES))
        client.turn_until(lambda: client.answers)
    assert client.answers[0].fault == ("too_long", f"the answer is longer than {MAX_HEAD_BYTES} bytes")


@pytest.mark.parametrize(
    "script",
    [[], [send(CHUNKED)], [send(CHUNKED + chunk(STREAM[0]))]],
    ids=["before the headers", "after the headers", "after a token"],
)
def test_an_exchange_that_is_broken_off_has_the_fault_it_was_given(script: Script) -> None:
    with served(lambda _: [*script, forever]) as played, Client(route(played.url)) as client:
        client.loop.call_later(0.05, lambda: client.connection.abort(("timeout", "too slow")))
        answer = client.ask()
    assert answer.fault == ("timeout", "too slow")
    assert answer.ended_ns is not None
    assert answer.ended_ns - answer.sent_ns > 0.04e9


def test_nothing_listens_is_a_connection_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    made = unserved(f"http://127.0.0.1:{port}")
    assert made.error_kind == "connection"
    assert "refused" in (made.error_message or "")


def test_a_host_s_next_address_is_tried_where_nothing_listens_at_the_first() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        deaf = socket.AF_INET, listener.getsockname()
    with served(lambda _: [send(CHUNKED_ANSWER)]) as played:
        found = route(played.url)
        with Client(replace(found, addresses=(deaf, *found.addresses))) as client:
            assert client.ask().fault is None


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


def stopped_after(seconds: float, url: str) -> Answer:
    with Client(route(url)) as client:
        client.loop.call_later(seconds, client.connection.close)
        return client.ask()


def test_stopping_ends_an_attempt_to_connect() -> None:
    with ExitStack() as stack:
        assert stopped_after(0.1, unanswering(stack)).fault == ("interrupted", "the measurement was stopped")


def test_stopping_ends_a_handshake() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = stopped_after(0.1, f"https://127.0.0.1:{silent.getsockname()[1]}")
    assert answer.fault == ("interrupted", "the measurement was stopped")


@pytest.mark.parametrize("turns", range(12))
@PLAIN_AND_TLS
def test_stopping_after_any_number_of_turns_leaves_no_exchange_waiting(turns: int, tls: bool) -> None:
    """The server never answers: whatever is not cut off would wait for ever."""
    with served(lambda _: [forever], server_tls() if tls else None) as played, Client(route(played.url)) as client:
        client.send()
        for _ in range(turns):
            client.idle(0.0005)
        client.connection.close()
        client.turn()
    assert [answer.fault and answer.fault[0] for answer in client.answers] == ["interrupted"]


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
    made = exchange(send(head(status, "Location: https://example.org/v1", "Content-Length: 0")))
    assert made.error_kind == "http_status"
    assert made.error_message == (
        f"HTTP {status[:3]}: redirects are not followed; name the address itself (location: https://example.org/v1)"
    )


def test_a_key_and_a_path_prefix_are_in_the_request() -> None:
    request = request_writer(target("http://example.org:81/api/x"), Credentials("secret"))(ASK)
    assert request.startswith(b"POST /api/x/v1/chat/completions HTTP/1.1\r\nHost: example.org:81\r\n")
    assert b"\r\nAuthorization: Bearer secret\r\n" in request


@pytest.mark.parametrize("wanted", [False, True])
def test_running_usage_is_asked_for_where_it_is_wanted(wanted: bool) -> None:
    request = request_writer(replace(target("http://localhost"), continuous_usage=wanted), Credentials())(ASK)
    asked = orjson.loads(request.partition(b"\r\n\r\n")[2])["stream_options"]
    assert asked == {"include_usage": True} | ({"continuous_usage_stats": True} if wanted else {})


def test_a_certificate_is_trusted_whose_authority_is_in_the_file(tmp_path: Path) -> None:
    authority().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with served(lambda _: [send(CHUNKED_ANSWER)], server_tls()) as played:
        assert unserved(played.url, tmp_path / "ca.pem").error_kind is None


def test_a_certificate_that_is_not_trusted_is_a_tls_fault() -> None:
    with served(lambda _: [send(CHUNKED_ANSWER)], server_tls()) as played:
        made = unserved(played.url)
    assert made.error_kind == "tls"
    assert "certificate verify failed" in (made.error_message or "")


def test_a_certificate_of_another_host_is_a_tls_fault() -> None:
    with (
        served(lambda _: [send(CHUNKED_ANSWER)], server_tls("elsewhere.example")) as played,
        Client(route(played.url)) as client,
    ):
        answer = client.ask()
    assert answer.fault is not None
    assert answer.fault[0] == "tls"


def test_a_certificate_that_is_not_to_be_checked_makes_a_connection() -> None:
    with served(lambda _: [send(CHUNKED_ANSWER)], server_tls("elsewhere.example")) as played:
        blind = Target(url=played.url, model="m", api="chat", verify_tls=False)
        with Client(resolve(blind)) as client:
            assert client.ask().fault is None


def test_a_file_without_certificates_is_a_fault_and_no_crash(tmp_path: Path) -> None:
    assert unserved("https://127.0.0.1:1", tmp_path / "none.pem").error_kind is not None


def test_a_connection_over_tls_that_breaks_off_is_a_reset() -> None:
    assert exchange(send(CHUNKED), pause(0.02), reset, tls=True).error_kind == "reset"


def test_plain_http_where_tls_was_asked_for_is_a_tls_fault() -> None:
    with closing(ByHand()) as server, Client(route(server.url.replace("http:", "https:"))) as client:
        client.send()
        client.turn()
        server.accept()
        client.turn()
        server.hear(1)
        server.send(error("400 Bad Request", {}))
        client.turn_until(lambda: client.answers)
    assert sample(TARGET, ASK, 0, client.answers[0]).error_kind == "tls"


def test_a_handshake_outlives_a_call_without_anything_to_read() -> None:
    with closing(ByHand(server_tls())) as server, Client(route(server.url)) as client:
        client.connection.connect()
        client.turn()
        server.accept()
        client.turn()
        client.connection._on_handshake()
        while not (server.shake_hands() and client.connection.open):
            client.turn()


def test_a_record_that_was_tampered_with_is_a_tls_fault() -> None:
    with by_hand(tls=True) as (server, client):
        client.send()
        server.hear(len(REQUEST))
        sealed = server.sealed(CHUNKED_ANSWER)
        server.put(sealed[:-1] + bytes([sealed[-1] ^ 1]))
        client.turn_until(lambda: client.answers)
    assert sample(TARGET, ASK, 0, client.answers[0]).error_kind == "tls"
