"""Events come out the same wherever the network cut the stream, each with the time of the piece that completed it."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapebench.apis.sse import Events

RECORDED = Path(__file__).parents[2] / "contract" / "recorded"
NAMES = ("sse_chat.txt", "sse_chat_usage_each_chunk.txt", "sse_completions.txt")
Piece = tuple[int, bytes]  # when it arrived, and its bytes

LINE_ENDS = (b"\n", b"\r\n", b"\r")


def events(pieces: Iterable[Piece]) -> list[Piece]:
    """The data of each event, with the arrival of the piece that ends it."""
    stream, arrival, found = Events(), 0, []
    for arrival, piece in pieces:
        found += [(arrival, data) for _, data in stream.feed(piece)]
    return found + [(arrival, data) for _, data in stream.end()]


def body(name: str) -> bytes:
    return (RECORDED / name).read_bytes().partition(b"\r\n\r\n")[2].rstrip(b"\n") + b"\n\n"


def cut(stream: bytes, places: list[int]) -> list[Piece]:
    """Pieces whose arrival is the place at which they end."""
    edges = [0, *sorted(places), len(stream)]
    return [(end, stream[start:end]) for start, end in pairwise(edges)]


def completed_at(stream: bytes, line_end: bytes) -> list[int]:
    """Where each event is complete: a CR ends its line, whether or not an LF comes after it."""
    places, start = [], 0
    while (found := stream.find(2 * line_end, start)) >= 0:
        start = found + 2 * len(line_end)
        places.append(start - 1 if line_end == b"\r\n" else start)
    return places


def arrivals(pieces: list[Piece], places: list[int]) -> list[int]:
    return [next(at for at, _ in pieces if at >= place) for place in places]


STREAMS = [(body(name).replace(b"\n", line_end), line_end) for name in NAMES for line_end in LINE_ENDS]
IDS = [f"{name}-{line_end!r}" for name in NAMES for line_end in LINE_ENDS]


@pytest.mark.parametrize(("stream", "line_end"), STREAMS, ids=IDS)
def test_a_stream_cut_at_any_byte_gives_the_same_events(stream: bytes, line_end: bytes) -> None:
    data, places = [text for _, text in events([(0, stream)])], completed_at(stream, line_end)
    assert len(data) == len(places) > 4
    for place in range(len(stream) + 1):
        pieces = cut(stream, [place])
        assert events(pieces) == list(zip(arrivals(pieces, places), data, strict=True))


@pytest.mark.parametrize(("stream", "line_end"), STREAMS, ids=IDS)
def test_a_stream_that_drips_gives_each_event_at_its_last_byte(stream: bytes, line_end: bytes) -> None:
    data = [text for _, text in events([(0, stream)])]
    assert events(cut(stream, list(range(len(stream))))) == list(zip(completed_at(stream, line_end), data, strict=True))


@settings(deadline=None)
@given(st.data())
def test_a_stream_cut_at_many_places_gives_the_same_events(data: st.DataObject) -> None:
    stream, line_end = data.draw(st.sampled_from(STREAMS))
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=40))  # twice the same: an empty piece
    pieces, expected = cut(stream, places), [text for _, text in events([(0, stream)])]
    assert events(pieces) == list(zip(arrivals(pieces, completed_at(stream, line_end)), expected, strict=True))


LINES = st.lists(st.sampled_from([b"data: a", b"data:b", b": comment", b"event: x", b"id: 1", b"data:  c", b"", b""]))


@settings(deadline=None)
@given(LINES, st.sampled_from(LINE_ENDS), st.data())
def test_any_lines_cut_anywhere_give_the_same_events(lines: list[bytes], line_end: bytes, data: st.DataObject) -> None:
    stream = b"".join(line + line_end for line in lines)
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=20))
    assert [text for _, text in events(cut(stream, places))] == [text for _, text in events([(0, stream)])]


@pytest.mark.parametrize("line_end", LINE_ENDS)
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b": keep-alive", b"", b"data: a", b"", b": another", b""], [b"a"]),
        ([b"data: a", b"data: b", b""], [b"a\nb"]),
        ([b"data:a", b""], [b"a"]),
        ([b"data:  a", b""], [b" a"]),
        ([b"event: message", b"id: 7", b"retry: 10", b"data: a", b""], [b"a"]),
        ([b"", b"", b"", b"data: a", b"", b"", b""], [b"a"]),
        ([b"database: a", b""], []),
        ([b"data: a"], [b"a"]),
        ([], []),
    ],
    ids=[
        "comments",
        "several data lines",
        "no space",
        "two spaces",
        "other fields",
        "empty lines",
        "a longer field name",
        "no blank line at the end",
        "nothing",
    ],
)
def test_lines_make_these_events(lines: list[bytes], expected: list[bytes], line_end: bytes) -> None:
    stream = b"".join(line + line_end for line in lines)
    for place in range(len(stream) + 1):
        assert [text for _, text in events(cut(stream, [place]))] == expected


def test_an_event_has_the_name_before_its_data() -> None:
    stream = Events()
    assert stream.feed(b"event: ping\ndata: {}\n\ndata: 1\n\nevent:x\n\ndata: 2\n\n") == [
        ("ping", b"{}"),
        (None, b"1"),
        (None, b"2"),
    ]


def test_line_ends_of_three_kinds_may_be_mixed() -> None:
    assert [text for _, text in events([(0, b"data: a\r\n\ndata: b\n\rdata: c\r\r\n")])] == [b"a", b"b", b"c"]


def test_what_is_cut_off_in_the_middle_is_given_with_its_last_arrival() -> None:
    assert events([(1, b'data: {"a"'), (2, b":"), (3, b"1")]) == [(3, b'{"a":1')]


def test_a_carriage_return_inside_two_pieces_is_one_line_end() -> None:
    assert events([(1, b"data: a\r"), (2, b"\n"), (3, b"\r"), (4, b"\ndata: b\r\n\r\n")]) == [
        (3, b"a"),
        (4, b"b"),
    ]


def test_an_empty_piece_between_cr_and_lf_changes_nothing() -> None:
    assert events([(1, b"data: a\r"), (2, b""), (3, b"\ndata: b\r\n\r\n")]) == [(3, b"a\nb")]


def test_a_byte_order_mark_hides_no_event() -> None:
    assert events([(1, b"\xef\xbb"), (2, b"\xbfdata: a\n\n"), (3, b"data: b\n\n")]) == [(2, b"a"), (3, b"b")]
