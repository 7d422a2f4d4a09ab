"""Pacing of the load: when requests are sent, independent of what is sent."""

from typing import Protocol

from shapebench.load.http_connection import Answer

UNREACHED = frozenset(("connection", "dns", "tls"))
PAUSE_S = 0.02  # of a stream that cannot connect, so that it does not try ten thousand times a second


class Pacer(Protocol):
    """Decides when each stream sends, like vegeta's `lib/pacer.go`.

    A pacer of an open loop assigns its due times to any free stream: the number of streams is then the maximum of
    requests in flight.
    """

    def first_delay_s(self, stream: int) -> float:
        """Return the time from the level's start to the first request of a stream."""

    def next_delay_s(self, answer: Answer) -> float:
        """Return the time from the end of an answer to the next request of its stream."""


class ClosedLoop:
    """Every stream sends as soon as it has its answer: N requests are in flight all the time."""

    def first_delay_s(self, stream: int) -> float:  # noqa: ARG002 - all begin together
        """Begin all streams together."""
        return 0.0

    def next_delay_s(self, answer: Answer) -> float:
        """Send at once, unless the server cannot be reached."""
        return PAUSE_S if answer.fault and answer.fault[0] in UNREACHED else 0.0
