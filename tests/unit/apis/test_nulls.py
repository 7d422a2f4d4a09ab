"""Null in any place of any event of any API: an answer all the same, or an error in words, never another exception."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import orjson
import pytest

from shapebench.apis.reading import Reading, StreamError
from shapebench.apis.stream_reader import read
from shapebench.apis.table import APIS
from tests.recorded_streams import DOCUMENTED, frame
from tests.unit.apis.test_documented_streams import api_of

NAMES = sorted(file.stem for file in DOCUMENTED.iterdir() if file.suffix != ".md")
Event = tuple[dict[str, str], Any]  # headers of a frame, or nothing, and the content


def events_of(name: str) -> list[Event]:
    """Return the events whose data is JSON."""
    if (packed := DOCUMENTED / f"{name}.jsonl").exists():
        frames = [orjson.loads(line) for line in packed.read_bytes().splitlines()]
        return [(one["headers"], _content(one["payload"])) for one in frames]
    lines = (DOCUMENTED / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [({}, _content(line.removeprefix("data:").strip())) for line in lines if line.startswith("data:")]


def _content(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def write(event: Event) -> bytes:
    headers, content = event
    data = content.encode() if isinstance(content, str) else orjson.dumps(content)
    return frame(headers, data) if headers else b"data: %b\n\n" % data


def with_nulls(content: Any) -> Iterator[Any]:
    """Yield the content once for each place in it, with null there."""
    yield None
    places = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for place, inner in places:
        for changed in with_nulls(inner):
            copy = content.copy()
            copy[place] = changed
            yield copy


@pytest.mark.parametrize("name", NAMES)
def test_null_anywhere_is_read_or_refused(name: str) -> None:
    events, api = events_of(name), APIS[api_of(name)]
    for index, (headers, content) in enumerate(events):
        for changed in with_nulls(content) if not isinstance(content, str) else ():
            body = b"".join(map(write, [*events[:index], (headers, changed), *events[index + 1 :]]))
            reading = Reading()
            with suppress(StreamError):
                read(api, [(0, body, len(body))], reading)
            assert len(reading.chunk_tokens) == len(reading.arrivals_ns)
