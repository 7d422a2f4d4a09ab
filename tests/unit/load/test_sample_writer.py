"""A request and what came back make a sample, whatever came back; samples make one Parquet file."""

from array import array
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapebench.apis.target import PlannedRequest, Target
from shapebench.load.http_connection import Answer
from shapebench.load.sample_writer import BATCH, SampleStream, sample
from shapebench.runs.samples_file import Sample, join, schema
from tests.scripted_server import STREAM, TOKEN, event

TARGET = Target("http://h", "m", "chat")
ASK = PlannedRequest(index=3, warmup=False, prompt="a b", input_tokens=20, output_tokens=2)
SENT_NS = 1_700_000_000_000_000_000


def answer(*events: bytes, **known: Any) -> Answer:
    """An answer whose events came a millisecond apart."""
    arrivals_ns = array("q", [SENT_NS + 1_000_000 * (at + 1) for at in range(len(events))])
    lengths = array("i", map(len, events))
    whole = {
        "status": 200,
        "lengths": lengths,
        "received": [*events],
        "arrivals_ns": arrivals_ns,
        "ended_ns": SENT_NS + 9_000_000,
    }
    return Answer(SENT_NS, **{**whole, **known})


def write(samples: list[Sample], path: Path, metadata: dict[str, str]) -> int:
    """As a level with one process does."""
    stream = path.with_suffix(".arrow")
    samples_out = SampleStream(stream)
    for made in samples:
        samples_out.add(made)
    samples_out.close()
    count = join([stream], path, metadata)
    stream.unlink()
    return count


def test_times_are_seconds_after_the_request_was_sent() -> None:
    made = sample(TARGET, ASK, 5, answer(*STREAM))
    assert (made.chunk_offsets_s, made.ended_s, made.sent_at_ns) == ([0.001, 0.002], 0.009, SENT_NS)


def test_a_whole_answer_has_no_error() -> None:
    made = sample(TARGET, ASK, 5, answer(*STREAM))
    assert (made.error_kind, made.output_tokens, made.response_id, made.stream) == (None, 2, "a-1", 5)


STRANGE: list[Any] = [None, 7, "text", [], {}, {"x": 1}, [None], [7], ["text"], [[]]]


@pytest.mark.parametrize("value", STRANGE, ids=repr)
@pytest.mark.parametrize("name", ["choices", "usage", "id", "error", "delta", "token_ids", "finish_reason"])
def test_a_field_of_a_strange_kind_makes_a_sample_that_can_be_stored(name: str, value: Any, tmp_path: Path) -> None:
    choice: dict[str, Any] = {**TOKEN["choices"][0], name: value}  # type: ignore[dict-item]
    chunk = {**TOKEN, name: value} if name in ("choices", "usage", "id", "error") else {**TOKEN, "choices": [choice]}
    made = sample(TARGET, ASK, 0, answer(event(chunk), *STREAM))
    write([made], tmp_path / "level.parquet", {})
    assert made.error_kind in (None, "malformed", "stream_error")


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=5))
def test_any_bytes_make_a_sample_with_an_error(texts: list[bytes]) -> None:
    assert sample(TARGET, ASK, 0, answer(*(b"data: %b\n\n" % text for text in texts))).error_kind is not None


def test_null_choices_are_no_token() -> None:
    made = sample(TARGET, ASK, 0, answer(event({"id": "a", "choices": None}), *STREAM))
    assert (made.error_kind, made.chunk_offsets_s) == (None, [0.002, 0.003])


def test_what_the_exchange_broke_on_counts_before_what_its_stream_lacks() -> None:
    made = sample(TARGET, ASK, 0, answer(event(TOKEN), b"data: {", fault=("reset", "gone")))
    assert (made.error_kind, made.error_message, made.chunk_tokens) == ("reset", "gone", [1])


def test_an_answer_that_never_came_is_a_sample_with_its_fault() -> None:
    made = sample(TARGET, ASK, 0, Answer(SENT_NS, ended_ns=SENT_NS, fault=("connection", "refused")))
    assert (made.error_kind, made.http_status, made.ended_s) == ("connection", None, 0)


def test_a_refusal_says_what_the_server_said_and_when_to_come_again() -> None:
    body = orjson.dumps({"error": {"message": "slow down"}})
    made = sample(TARGET, ASK, 0, answer(body, status=429, headers={"retry-after": "7"}))
    assert made.error_message == "HTTP 429: slow down (retry-after: 7)"


def test_the_columns_of_the_file_are_the_fields_of_a_sample() -> None:
    assert schema().names == [f.name for f in fields(Sample)]


def test_samples_come_back_as_they_were_written(tmp_path: Path) -> None:
    written = [sample(TARGET, ASK, 5, answer(*STREAM)), sample(TARGET, ASK, 6, answer(status=500))]
    write(written, tmp_path / "level.parquet", {"plan": "p"})
    table = pq.read_table(tmp_path / "level.parquet")
    assert table.to_pylist() == [asdict(made) for made in written]
    assert table.schema.metadata[b"plan"] == b"p"


def test_no_samples_make_a_file_too(tmp_path: Path) -> None:
    write([], tmp_path / "level.parquet", {})
    assert pq.read_table(tmp_path / "level.parquet").num_rows == 0


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    write([sample(TARGET, ASK, 5, answer(*STREAM))], tmp_path / "level.parquet", {})
    assert [path.name for path in tmp_path.iterdir()] == ["level.parquet"]


def test_the_streams_of_several_processes_make_one_file(tmp_path: Path) -> None:
    streams = [tmp_path / "0.arrow", tmp_path / "1.arrow"]
    for stream in streams:
        out = SampleStream(stream)
        out.add(sample(TARGET, ASK, 5, answer(*STREAM)))
        out.close()
    assert join(streams, tmp_path / "level.parquet", {}) == pq.read_table(tmp_path / "level.parquet").num_rows == 2


def test_what_was_written_before_a_process_was_killed_is_there(tmp_path: Path) -> None:
    whole, torn = tmp_path / "0.arrow", tmp_path / "1.arrow"
    out = SampleStream(whole)
    for _ in range(2 * BATCH + 1):  # the last one does not get to disk by itself
        out.add(sample(TARGET, ASK, 5, answer(*STREAM)))
    torn.write_bytes(whole.read_bytes()[:-10])
    out.close()
    assert join([torn], tmp_path / "level.parquet", {}) == BATCH


@pytest.mark.parametrize("text", [None, b"", b"ARROW", b"\xff" * 100])
def test_a_stream_that_is_none_gives_no_samples(text: bytes | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "0.arrow").write_bytes(text)
    assert join([tmp_path / "0.arrow"], tmp_path / "level.parquet", {}) == 0


def test_tokens_that_no_chunk_carried_are_said() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 5}}
    made = sample(TARGET, ASK, 5, answer(event(TOKEN), event(TOKEN), event(usage), b"data: [DONE]\n\n"))
    assert (made.error_kind, made.seen_tokens, made.output_tokens, made.unaccounted_tokens) == (None, 5, 5, 3)


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b'{"error":{"message":"out of memory"}}', "stream_error", "out of memory"),
        (b"<h1>Sign in</h1>", "incomplete", "<h1>Sign in</h1>"),
        (b'{"choices":[{"text":" he","finish_reason":"stop"}],"usage":{"completion_tokens":1}}', "incomplete", "{'ch"),
    ],
)
def test_what_came_in_place_of_a_stream_is_said(body: bytes, kind: str, said: str) -> None:
    made = sample(TARGET, ASK, 5, answer(body))
    assert made.error_kind == kind
    assert (made.error_message or "").startswith(f"the answer is not a stream of events: {said}")


def test_counts_that_no_column_can_hold_make_a_sample_that_can_be_stored(tmp_path: Path) -> None:
    counts = (2**31 - 1, 0, 2**31 - 1, 0)
    chunks = [event({**TOKEN, "usage": {"prompt_tokens": 1, "completion_tokens": count}}) for count in counts]
    made = sample(TARGET, ASK, 5, answer(*chunks, b"data: [DONE]\n\n"))
    assert write([made], tmp_path / "level.parquet", {}) == 1


def test_a_page_with_data_in_its_lines_is_no_stream() -> None:
    page = b'<html><img src="data:image/png;base64,AA"></html>'
    assert "not a stream of events: <html>" in (sample(TARGET, ASK, 5, answer(page)).error_message or "")
