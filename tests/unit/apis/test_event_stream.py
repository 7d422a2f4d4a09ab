"""AWS event streams: frames that are split anywhere, damaged ones, and those of other tools."""

import pytest
from botocore.eventstream import EventStreamBuffer

from shapebench.apis.event_stream import EventStream, JsonLines, PayloadParts
from shapebench.apis.reading import StreamError
from tests.recorded_streams import frame

EVENT = frame({":event-type": "metadata", ":message-type": "event"}, b'{"a":1}')


def test_botocore_reads_the_frames_that_the_tests_pack() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(EVENT)
    message = next(buffer)
    assert (message.headers[":event-type"], message.payload) == ("metadata", b'{"a":1}')


@pytest.mark.parametrize("size", [1, 3, len(EVENT) - 1, len(EVENT), 2 * len(EVENT)])
def test_frames_are_found_wherever_the_stream_is_cut(size: int) -> None:
    stream, body = EventStream(), EVENT * 3
    events = [event for begin in range(0, len(body), size) for event in stream.feed(body[begin : begin + size])]
    assert events == [("metadata", b'{"a":1}')] * 3
    assert stream.between


def test_between_is_false_inside_a_frame() -> None:
    stream = EventStream()
    assert stream.feed(EVENT[:20]) == []
    assert not stream.between


@pytest.mark.parametrize("place", [0, 3, 8, 20, -6, -1])
def test_a_damaged_frame_is_malformed(place: int) -> None:
    damaged = bytearray(EVENT)
    damaged[place] ^= 0x55
    with pytest.raises(StreamError, match="malformed"):
        EventStream().feed(bytes(damaged))


def test_what_is_no_event_stream_is_malformed() -> None:
    with pytest.raises(StreamError, match="malformed"):
        EventStream().feed(b'{"message":"The security token included in the request is expired"}')


def test_headers_that_are_no_texts_are_passed_over() -> None:
    import struct
    import zlib

    block = b"\x01a\x00" + b"\x01b\x04\x00\x00\x00\x07" + b"\x01c\x06\x00\x02xy" + b"\x0b:event-type\x07\x00\x04stop"
    begin = struct.pack(">II", 16 + len(block), len(block))
    packed = begin + struct.pack(">I", zlib.crc32(begin)) + block
    assert EventStream().feed(packed + struct.pack(">I", zlib.crc32(packed))) == [("stop", b"")]


def test_an_error_message_of_the_service_is_an_error() -> None:
    failed = frame({":message-type": "error", ":error-code": "InternalFailure", ":error-message": "no luck"}, b"")
    assert EventStream().feed(failed) == [("error", b'{"message":"InternalFailure: no luck"}')]


def part(payload: bytes) -> bytes:
    return frame({":event-type": "PayloadPart", ":message-type": "event"}, payload)


def test_parts_hold_server_sent_events_cut_anywhere() -> None:
    parts = PayloadParts()
    assert parts.feed(part(b"da") + part(b"ta: {}\n")) == []
    assert not parts.between
    assert [data for _, data in parts.feed(part(b"\ndata: [DONE]\n\n"))] == [b"{}", b"[DONE]"]


def test_parts_hold_json_lines() -> None:
    parts = PayloadParts()
    events = parts.feed(part(b'{"token":') + part(b'{}}\n{"generated_text":"x"}'))
    assert [data for _, data in events + parts.end()] == [b'{"token":{}}', b'{"generated_text":"x"}']


def test_empty_lines_are_no_objects() -> None:
    lines = JsonLines()
    assert lines.feed(b"\n\n {}\n") == [(None, b" {}")]
    assert lines.end() == []
