"""The event loop calls handlers of sockets and timers, with epoll and with what other platforms have."""

import select
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from shapebench.support.event_loop import EventLoop
from shapebench.support.timestamps import clock_ns

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["epoll", "selectors", "poll", "select"])
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[EventLoop]:
    if request.param != "epoll":
        monkeypatch.delattr(select, "epoll")
    for name, selector in (("poll", selectors.PollSelector), ("select", selectors.SelectSelector)):
        if request.param == name:
            monkeypatch.setattr("shapebench.support.event_loop.selectors.DefaultSelector", selector)
    made = EventLoop()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


def iterate(loop: EventLoop, count: int) -> None:
    for _ in range(count):
        loop.call_soon(loop.stop)
        loop.run()


def test_a_socket_that_can_be_read_is_handled(loop: EventLoop, pair: Pair) -> None:
    ours, theirs = pair
    heard: list[bytes] = []

    def read() -> None:
        heard.append(ours.recv(10))
        loop.stop()

    loop.watch(ours.fileno(), read)
    theirs.send(b"a")
    loop.run()
    assert heard == [b"a"]


def test_what_is_not_read_is_handled_again(loop: EventLoop, pair: Pair) -> None:
    ours, theirs = pair
    calls: list[int] = []
    loop.watch(ours.fileno(), lambda: calls.append(1))
    theirs.send(b"a")
    iterate(loop, 3)
    assert len(calls) == 3


def test_the_end_of_the_other_side_is_handled(loop: EventLoop, pair: Pair) -> None:
    ours, theirs = pair
    loop.watch(ours.fileno(), loop.stop)
    theirs.close()
    loop.run()
    assert ours.recv(10) == b""


def test_a_socket_that_can_be_written_is_handled_only_where_asked_for(loop: EventLoop, pair: Pair) -> None:
    ours, _ = pair
    calls: list[str] = []
    loop.watch(ours.fileno(), lambda: calls.append("read"))
    iterate(loop, 2)
    loop.watch(ours.fileno(), lambda: calls.append("write"), write=True)
    iterate(loop, 1)
    loop.watch(ours.fileno(), lambda: calls.append("read"))
    iterate(loop, 2)
    assert calls == ["write"]


def test_a_socket_that_is_no_longer_watched_is_not_handled(loop: EventLoop, pair: Pair) -> None:
    ours, theirs = pair
    loop.watch(ours.fileno(), lambda: pytest.fail("it was called"))
    theirs.send(b"a")
    loop.unwatch(ours.fileno())
    iterate(loop, 2)


def test_whoever_ends_a_watch_twice_ends_it(loop: EventLoop, pair: Pair) -> None:
    loop.watch(pair[0].fileno(), loop.stop)
    loop.unwatch(pair[0].fileno())
    loop.unwatch(pair[0].fileno())


def test_a_handler_may_end_the_watch_of_one_that_is_ready_in_the_same_iteration(loop: EventLoop, pair: Pair) -> None:
    ours, theirs = pair
    calls: list[int] = []

    def handler(other: int) -> Callable[[], None]:
        def end_the_other() -> None:
            calls.append(1)
            loop.unwatch(other)

        return end_the_other

    loop.watch(ours.fileno(), handler(theirs.fileno()))
    loop.watch(theirs.fileno(), handler(ours.fileno()))
    ours.send(b"a")
    theirs.send(b"a")
    iterate(loop, 1)
    assert len(calls) == 1


def test_what_is_to_come_soon_comes_once_after_the_sockets_of_its_iteration(loop: EventLoop, pair: Pair) -> None:
    ours, theirs = pair
    calls: list[str] = []
    loop.call_soon(lambda: calls.append("soon"))
    loop.watch(ours.fileno(), lambda: calls.append("socket"))
    theirs.send(b"a")
    iterate(loop, 1)
    loop.unwatch(ours.fileno())
    iterate(loop, 1)
    assert calls == ["socket", "soon"]


def test_what_is_to_come_later_comes_once_and_not_before_its_time(loop: EventLoop) -> None:
    calls: list[int] = []
    loop.call_later(30, lambda: pytest.fail("it was called"))
    loop.call_later(0, lambda: calls.append(1))
    loop.call_later(0.02, loop.stop)
    loop.run()
    assert calls == [1]


def test_timers_are_called_in_the_order_in_which_they_are_due(loop: EventLoop) -> None:
    calls: list[int] = []
    for number, delay_s in enumerate((0.02, 0.0, 0.01)):
        loop.call_later(delay_s, lambda number=number: calls.append(number))
    loop.call_later(0.03, loop.stop)
    loop.run()
    assert calls == [1, 2, 0]


def test_what_is_to_come_every_so_often_comes_again_and_again(loop: EventLoop) -> None:
    calls: list[int] = []

    def count() -> None:
        calls.append(1)
        if len(calls) == 3:
            loop.stop()

    loop.call_every(0.001, count)
    loop.run()
    assert len(calls) == 3


def test_whoever_stops_before_the_run_has_no_iteration(loop: EventLoop) -> None:
    loop.call_soon(lambda: pytest.fail("it was called"))
    loop.stop()
    loop.run()


def test_after_a_stop_it_can_run_again(loop: EventLoop) -> None:
    loop.stop()
    loop.run()
    calls: list[int] = []
    loop.call_soon(lambda: calls.append(1))
    iterate(loop, 1)
    assert calls == [1]


def test_a_stop_ends_the_run_after_its_iteration(loop: EventLoop) -> None:
    calls: list[int] = []
    loop.call_soon(loop.stop)
    loop.call_soon(lambda: calls.append(1))
    loop.run()
    assert calls == [1]


def test_what_can_wait_is_done_as_long_as_there_is_more_of_it(loop: EventLoop) -> None:
    left = list(range(500))  # with a wait between them they would take long

    def do_one() -> bool:
        if not left:
            loop.stop()
            return False
        left.pop()
        return True

    loop.run(in_between=do_one)
    assert left == []


def test_each_iteration_says_how_long_it_took(loop: EventLoop) -> None:
    took_s: list[float] = []
    loop.on_iteration = took_s.append
    iterate(loop, 3)
    assert len(took_s) == 3
    assert min(took_s) >= 0


def test_steps_go_on_each_time_that_they_are_due_again(loop: EventLoop) -> None:
    times_ns: list[int] = []

    def steps(begin_ns: int) -> Iterator[int | None]:
        for due_ns in (begin_ns + 1_000_000, begin_ns + 3_000_000):
            yield due_ns
            times_ns.append(clock_ns() - due_ns)
        loop.stop()
        yield None

    begin_ns = clock_ns()
    loop.run_paced(begin_ns, steps(begin_ns))
    loop.run()
    assert len(times_ns) == 2
    assert min(times_ns) >= 0


def test_steps_of_several_go_on_in_the_order_in_which_they_are_due(loop: EventLoop) -> None:
    order: list[str] = []

    def steps(name: str, dues_ns: list[int]) -> Iterator[int | None]:
        for due_ns in dues_ns:
            yield due_ns
            order.append(name)

    begin_ns = clock_ns()
    loop.run_paced(begin_ns, steps("a", [begin_ns + 1_000, begin_ns + 3_000]))
    loop.run_paced(begin_ns, steps("b", [begin_ns + 2_000, begin_ns + 4_000]))
    loop.call_later(0.01, loop.stop)
    loop.run()
    assert order == ["a", "b", "a", "b"]


def test_what_is_done_when_idle_waits_while_something_is_due(loop: EventLoop) -> None:
    done: list[int] = []

    def steps() -> Iterator[int | None]:
        while not done and clock_ns() < end_ns:
            yield clock_ns()
        assert not done
        yield clock_ns() + 20_000_000
        loop.stop()

    end_ns = clock_ns() + 10_000_000
    loop.run_paced(clock_ns(), steps())
    loop.run(when_idle=lambda: bool(done.append(1)))
    assert done


def test_a_socket_can_be_watched_for_room_to_write_alone(loop: EventLoop, pair: Pair) -> None:
    ours, theirs = pair
    with suppress(BlockingIOError):
        while True:
            ours.send(b"x" * 4096)
    theirs.send(b"a")
    loop.watch(ours.fileno(), lambda: pytest.fail("it was called"), read=False, write=True)
    iterate(loop, 3)
