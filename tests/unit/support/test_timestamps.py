"""The stamp of a token is the moment it arrived, not that of its reading; and steps of the clock are noticed."""

import socket
import time

import pytest

from shapebench.support.timestamps import SO_TIMESTAMPING, ClockWatch, Stamps, clock_ns
from tests.scripted_server import CHUNKED, STREAM, chunk
from tests.unit.load.test_http_connection import PLAIN_AND_TLS, REQUEST, by_hand

LATE_S = 0.05


@PLAIN_AND_TLS
def test_a_token_that_is_read_late_has_the_moment_of_its_arrival(tls: bool) -> None:
    with by_hand(tls=tls) as (server, client):
        client.send()
        server.hear(len(REQUEST))
        server.send(CHUNKED + chunk(STREAM[0]))
        sent_ns = clock_ns()
        time.sleep(LATE_S)
        client.take_all_from(server)
        answer = client.connection.answer
        assert answer is not None
        assert answer.arrivals_ns[0] < sent_ns + LATE_S * 1e9
        assert client.stamps.source == "kernel"


@PLAIN_AND_TLS
def test_of_two_tokens_that_are_read_together_the_last_byte_counts(tls: bool) -> None:
    with by_hand(tls=tls) as (server, client):
        client.send()
        server.hear(len(REQUEST))
        server.send(CHUNKED + chunk(STREAM[0]))
        time.sleep(LATE_S)
        between_ns = clock_ns()
        server.send(chunk(STREAM[1]))
        client.take_all_from(server)
        answer = client.connection.answer
        assert answer is not None
        assert {arrival_ns > between_ns for arrival_ns in answer.arrivals_ns} == {True}


@PLAIN_AND_TLS
def test_without_the_kernel_s_stamps_a_token_has_the_moment_of_its_reading(tls: bool) -> None:
    with by_hand(tls=tls, kernel=False) as (server, client):
        client.send()
        server.hear(len(REQUEST))
        server.send(CHUNKED + chunk(STREAM[0]))
        read_ns = clock_ns()
        client.take_all_from(server)
        answer = client.connection.answer
        assert answer is not None
        assert answer.arrivals_ns[0] >= read_ns
        assert client.stamps.source == "user"


class Unstampable:
    """A socket as some sandboxes have them."""

    def setsockopt(self, *_: object) -> None:
        raise OSError(92, "Protocol not available")

    def recv(self, _: int) -> bytes:
        return b"a"


def test_where_the_kernel_refuses_stamps_the_moment_of_reading_stands_in_and_that_is_said() -> None:
    stamps = Stamps(kernel=True)
    before_ns = clock_ns()
    data, arrival_ns = stamps.receiver(Unstampable())()
    assert data == b"a"
    assert arrival_ns >= before_ns
    assert stamps.source == "user"


def test_one_receive_without_a_stamp_is_enough_for_the_source_to_say_so() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stamps = Stamps(kernel=True)
        receive = stamps.receiver(ours)
        ours.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, 0)  # the kernel took the option, but gives none
        theirs.send(b"a")
        assert receive()[0] == b"a"
    assert (stamps.source, stamps.unstamped) == ("user", 1)


def test_the_end_of_a_connection_needs_no_stamp() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        stamps = Stamps(kernel=True)
        receive = stamps.receiver(ours)
        theirs.close()
        assert receive()[0] == b""
    assert stamps.source == "kernel"


class Clocks:
    """Two clocks that go as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.real_ns, self.monotonic_ns = 1_800_000_000_000_000_000, 5_000_000_000
        monkeypatch.setattr("shapebench.support.timestamps.clock_ns", lambda: self.real_ns)
        monkeypatch.setattr("shapebench.support.timestamps.time.monotonic_ns", lambda: self.monotonic_ns)

    def go(self, seconds: float, *, too_far_s: float = 0.0) -> None:
        self.monotonic_ns += round(seconds * 1e9)
        self.real_ns += round((seconds + too_far_s) * 1e9)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


@pytest.mark.parametrize("step_s", [0.005, -0.005, 3600.0])
def test_a_clock_that_is_set_is_noticed(clocks: Clocks, step_s: float) -> None:
    watch = ClockWatch()
    for too_far_s in (0.0, step_s, 0.0):
        clocks.go(0.25, too_far_s=too_far_s)
        watch.look()
    assert watch.step_s == pytest.approx(abs(step_s))


def test_of_several_steps_the_greatest_is_told(clocks: Clocks) -> None:
    watch = ClockWatch()
    for too_far_s in (0.005, -0.02, 0.015):
        clocks.go(0.25, too_far_s=too_far_s)
        watch.look()
    assert watch.step_s == pytest.approx(0.02)


def test_a_clock_that_is_slewed_for_long_has_not_been_set(clocks: Clocks) -> None:
    watch = ClockWatch()
    for _ in range(400):
        clocks.go(0.25, too_far_s=0.25 * 500e-6)
        watch.look()
    assert watch.step_s < 0.0002


def test_being_put_to_sleep_between_the_clocks_is_no_step(clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = ClockWatch()
    naps_s = iter([0.03])

    def real_ns() -> int:
        clocks.go(next(naps_s, 0.0))
        return clocks.real_ns

    monkeypatch.setattr("shapebench.support.timestamps.clock_ns", real_ns)
    watch.look()
    assert watch.step_s == 0


def test_clocks_that_nobody_sets_make_no_step() -> None:
    watch = ClockWatch()
    watch.look()
    assert watch.step_s < 1
