"""The loop calls who waits for a socket or a moment, with epoll and with what other platforms have."""

import select
import selectors
import socket
from collections.abc import Callable, Iterator

import pytest

from shapebench.support.event_loop import Reactor

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["epoll", "selectors", "poll", "select"])
def reactor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reactor]:
    if request.param != "epoll":
        monkeypatch.delattr(select, "epoll")
    for name, selector in (("poll", selectors.PollSelector), ("select", selectors.SelectSelector)):
        if request.param == name:
            monkeypatch.setattr("shapebench.support.event_loop.selectors.DefaultSelector", selector)
    made = Reactor()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


def turns(reactor: Reactor, count: int) -> None:
    for _ in range(count):
        reactor.soon(reactor.stop)
        reactor.run()


def test_a_socket_that_can_be_read_is_handled(reactor: Reactor, pair: Pair) -> None:
    ours, theirs = pair
    heard: list[bytes] = []

    def read() -> None:
        heard.append(ours.recv(10))
        reactor.stop()

    reactor.watch(ours.fileno(), read)
    theirs.send(b"a")
    reactor.run()
    assert heard == [b"a"]


def test_what_is_not_read_is_handled_again(reactor: Reactor, pair: Pair) -> None:
    ours, theirs = pair
    calls: list[int] = []
    reactor.watch(ours.fileno(), lambda: calls.append(1))
    theirs.send(b"a")
    turns(reactor, 3)
    assert len(calls) == 3


def test_the_end_of_the_other_side_is_handled(reactor: Reactor, pair: Pair) -> None:
    ours, theirs = pair
    reactor.watch(ours.fileno(), reactor.stop)
    theirs.close()
    reactor.run()
    assert ours.recv(10) == b""


def test_a_socket_that_can_be_written_is_handled_only_where_asked_for(reactor: Reactor, pair: Pair) -> None:
    ours, _ = pair
    calls: list[str] = []
    reactor.watch(ours.fileno(), lambda: calls.append("read"))
    turns(reactor, 2)
    reactor.watch(ours.fileno(), lambda: calls.append("write"), write=True)
    turns(reactor, 1)
    reactor.watch(ours.fileno(), lambda: calls.append("read"))
    turns(reactor, 2)
    assert calls == ["write"]


def test_a_socket_that_is_no_longer_watched_is_not_handled(reactor: Reactor, pair: Pair) -> None:
    ours, theirs = pair
    reactor.watch(ours.fileno(), lambda: pytest.fail("it was called"))
    theirs.send(b"a")
    reactor.unwatch(ours.fileno())
    turns(reactor, 2)


def test_whoever_ends_a_watch_twice_ends_it(reactor: Reactor, pair: Pair) -> None:
    reactor.watch(pair[0].fileno(), reactor.stop)
    reactor.unwatch(pair[0].fileno())
    reactor.unwatch(pair[0].fileno())


def test_a_handler_may_end_the_watch_of_one_that_is_ready_in_the_same_turn(reactor: Reactor, pair: Pair) -> None:
    ours, theirs = pair
    calls: list[int] = []

    def handler(other: int) -> Callable[[], None]:
        def end_the_other() -> None:
            calls.append(1)
            reactor.unwatch(other)

        return end_the_other

    reactor.watch(ours.fileno(), handler(theirs.fileno()))
    reactor.watch(theirs.fileno(), handler(ours.fileno()))
    ours.send(b"a")
    theirs.send(b"a")
    turns(reactor, 1)
    assert len(calls) == 1


def test_what_is_to_come_soon_comes_once_after_the_sockets_of_its_turn(reactor: Reactor, pair: Pair) -> None:
    ours, theirs = pair
    calls: list[str] = []
    reactor.soon(lambda: calls.append("soon"))
    reactor.watch(ours.fileno(), lambda: calls.append("socket"))
    theirs.send(b"a")
    turns(reactor, 1)
    reactor.unwatch(ours.fileno())
    turns(reactor, 1)
    assert calls == ["socket", "soon"]


def test_what_is_to_come_later_comes_once_and_not_before_its_time(reactor: Reactor) -> None:
    calls: list[int] = []
    reactor.later(30, lambda: pytest.fail("it was called"))
    reactor.later(0, lambda: calls.append(1))
    reactor.later(0.02, reactor.stop)
    reactor.run()
    assert calls == [1]


def test_timers_are_called_in_the_order_in_which_they_are_due(reactor: Reactor) -> None:
    calls: list[int] = []
    for number, delay_s in enumerate((0.02, 0.0, 0.01)):
        reactor.later(delay_s, lambda number=number: calls.append(number))
    reactor.later(0.03, reactor.stop)
    reactor.run()
    assert calls == [1, 2, 0]


def test_what_is_to_come_every_so_often_comes_again_and_again(reactor: Reactor) -> None:
    calls: list[int] = []

    def count() -> None:
        calls.append(1)
        if len(calls) == 3:
            reactor.stop()

    reactor.every(0.001, count)
    reactor.run()
    assert len(calls) == 3


def test_whoever_stops_before_the_run_has_no_turn(reactor: Reactor) -> None:
    reactor.soon(lambda: pytest.fail("it was called"))
    reactor.stop()
    reactor.run()


def test_after_a_stop_it_can_run_again(reactor: Reactor) -> None:
    reactor.stop()
    reactor.run()
    calls: list[int] = []
    reactor.soon(lambda: calls.append(1))
    turns(reactor, 1)
    assert calls == [1]


def test_a_stop_ends_the_run_after_its_turn(reactor: Reactor) -> None:
    calls: list[int] = []
    reactor.soon(reactor.stop)
    reactor.soon(lambda: calls.append(1))
    reactor.run()
    assert calls == [1]


def test_what_can_wait_is_done_as_long_as_there_is_more_of_it(reactor: Reactor) -> None:
    left = list(range(500))  # with a wait between them they would take long

    def do_one() -> bool:
        if not left:
            reactor.stop()
            return False
        left.pop()
        return True

    reactor.run(in_between=do_one)
    assert left == []


def test_each_turn_says_how_long_it_took(reactor: Reactor) -> None:
    took_s: list[float] = []
    reactor.turn = took_s.append
    turns(reactor, 3)
    assert len(took_s) == 3
    assert min(took_s) >= 0
