"""Events as bytes, and what of them is sent at once."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import orjson

from shapebench.test_servers.odd.asked import Json
from shapebench.test_servers.odd.events import Event
from shapebench.test_servers.odd.oddities import Oddities

LINE_ENDS = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}
_DELAY_S = 0.0005  # between the parts of an event that is cut
_TOGETHER = 3

JSON: dict[str, Callable[[Json], str]] = {
    "compact": lambda content: orjson.dumps(content).decode(),
    "spaced": json.dumps,
    "several_lines": lambda content: json.dumps(content, indent=1, ensure_ascii=False),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A segment that is sent at once, and the events that end with it."""

    at_s: float
    data: bytes
    ends: tuple[Event, ...]


def as_pieces(oddities: Oddities, events: list[Event]) -> list[Piece]:
    """Write events, and cut them into what is sent at once."""
    written = [Piece(event.at_s, _write(oddities, event, number), (event,)) for number, event in enumerate(events)]
    if oddities.no_last_blank_line and written:
        last, end = written[-1], LINE_ENDS[oddities.line_end].encode()
        written[-1] = Piece(last.at_s, last.data.removesuffix(end), last.ends)
    return _in_order(_SEGMENTS[oddities.segments](written))


def _write(oddities: Oddities, event: Event, number: int) -> bytes:
    end, lines = LINE_ENDS[oddities.line_end], [*event.lines]
    if oddities.event_fields and not lines:
        lines = ["event: message", f"id: {number}"]
    if event.data is not None:
        text = event.data if isinstance(event.data, str) else JSON[oddities.json](event.data)
        lines += [("data:" if oddities.no_space else "data: ") + line for line in text.split("\n")]
    return "".join(line + end for line in (*lines, "")).encode()


def _cut_anywhere(written: list[Piece]) -> Iterable[Piece]:
    """Cut each event in two, the first sooner and the second later in the text from event to event."""
    for number, piece in enumerate(written):
        at = 1 + 13 * number % max(len(piece.data) - 1, 1)
        yield Piece(piece.at_s, piece.data[:at], () if piece.data[at:] else piece.ends)
        if rest := piece.data[at:]:
            yield Piece(piece.at_s + _DELAY_S, rest, piece.ends)


def _together(most: int) -> Callable[[list[Piece]], Iterable[Piece]]:
    def join(written: list[Piece]) -> Iterable[Piece]:
        for start in range(0, len(written), most or len(written)):
            some = written[start : start + most] if most else written
            ends = tuple(event for piece in some for event in piece.ends)
            yield Piece(some[-1].at_s, b"".join(piece.data for piece in some), ends)

    return join


_SEGMENTS: dict[str, Callable[[list[Piece]], Iterable[Piece]]] = {
    "one_event": lambda written: written,
    "cut_anywhere": _cut_anywhere,
    "three_events": _together(_TOGETHER),
    "whole_answer": _together(0),
}


def _in_order(pieces: Iterable[Piece]) -> list[Piece]:
    """Let no piece come before the one that it follows."""
    at_s, ordered = 0.0, []
    for piece in pieces:
        at_s = max(at_s, piece.at_s)
        ordered.append(Piece(at_s, piece.data, piece.ends))
    return ordered
