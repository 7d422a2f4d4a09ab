"""A name with several addresses: streams are spread over them, and samples say who answered."""

import socket
from collections import Counter

import pytest

from shapebench.apis.target import Target
from shapebench.probe import route
from shapebench.probe.route import Address, resolve
from shapebench.runs.samples_file import Sample
from tests.scripted_server import Played, served
from tests.unit.load.test_level import ANSWER, Kept, plan

NAMED = "http://balanced:80"


def address(played: Played) -> Address:
    host, port = played.server.sockets[0].getsockname()
    return socket.AF_INET, (host, port)


def named(monkeypatch: pytest.MonkeyPatch, *addresses: Address) -> None:
    """Let the name have these addresses."""
    found = [(family, socket.SOCK_STREAM, 6, "", where) for family, where in addresses]
    monkeypatch.setattr(route.socket, "getaddrinfo", lambda *_, **__: found)


def measured(concurrency: int) -> list[Sample]:
    return Kept(plan(NAMED, concurrency)).measure().samples


def test_streams_are_spread_evenly_over_the_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(lambda _: ANSWER) as one, served(lambda _: ANSWER) as other:
        named(monkeypatch, address(one), address(other))
        streams = {made.stream: made.server_address for made in measured(4)}
        assert Counter(streams.values()) == {one.url.removeprefix("http://"): 2, other.url.removeprefix("http://"): 2}


def test_a_stream_stays_at_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(lambda _: ANSWER) as one, served(lambda _: ANSWER) as other:
        named(monkeypatch, address(one), address(other))
        assert len({(made.stream, made.server_address) for made in measured(4)}) == 4


def test_where_one_address_is_dead_the_others_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead: Address = socket.AF_INET, listener.getsockname()
    with served(lambda _: ANSWER) as one:
        named(monkeypatch, dead, address(one))
        samples = measured(4)
        assert {(made.error_kind, made.server_address) for made in samples} == {(None, one.url.removeprefix("http://"))}


def test_addresses_of_another_family_are_only_tried_where_the_first_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    six: Address = socket.AF_INET6, ("::1", 80, 0, 0)
    four: list[Address] = [(socket.AF_INET, ("127.0.0.1", 80)), (socket.AF_INET, ("127.0.0.2", 80))]
    named(monkeypatch, four[0], six, four[1])
    found = resolve(Target(NAMED, "m", "chat"))
    assert (found.balanced, found.addresses) == (2, (*four, six))
