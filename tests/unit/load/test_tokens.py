"""Which chunk carries how many tokens, and what makes a stream no answer."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from shapebench.load.tokens import Reading, StreamFault, error_text, read
from tests.unit.load.test_sse import NAMES, body

RECORDED = Path(__file__).parents[2] / "contract" / "recorded"
DONE = b"[DONE]"


def delta(**content: Any) -> dict[str, Any]:
    return {"id": "a-1", "choices": [{"index": 0, "delta": content, "finish_reason": None}]}


def usage(prompt: Any = 20, completion: Any = 2) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": 22}


TOKEN = delta(content=" he")
LAST = {"id": "a-1", "choices": [], "usage": usage()}


def stream(*chunks: Any) -> Reading:
    """Read chunks that arrive at 0, 1, 2, …; bytes are sent as they are."""
    reading = Reading()
    texts = [chunk if isinstance(chunk, bytes) else orjson.dumps(chunk) for chunk in chunks]
    read([(at, b"data: %b\n\n" % text) for at, text in enumerate(texts)], reading)
    return reading


def fault(*chunks: Any) -> StreamFault:
    with pytest.raises(StreamFault) as raised:
        stream(*chunks)
    return raised.value


@pytest.mark.parametrize("name", NAMES)
def test_in_a_recorded_stream_the_tokens_counted_are_those_of_its_usage(name: str) -> None:
    reading = Reading()
    read([(7, body(name))], reading)
    assert sum(reading.chunk_tokens) == reading.output_tokens
    assert len(reading.arrivals_ns) == len(reading.chunk_tokens)
    assert reading.finish_reason == "length"
    assert reading.input_tokens is not None
    assert reading.response_id is not None


def test_a_token_has_the_arrival_of_its_chunk() -> None:
    assert stream(delta(role="assistant", content=""), TOKEN, TOKEN, LAST, DONE).arrivals_ns == [1, 2]


@pytest.mark.parametrize(
    "opening",
    [delta(role="assistant"), delta(role="assistant", content=""), delta(role="assistant", content=None)],
)
def test_a_chunk_with_only_a_role_carries_no_token(opening: dict[str, Any]) -> None:
    assert stream(opening, TOKEN, LAST, DONE).arrivals_ns == [1]


def test_a_role_beside_a_text_does_not_hide_the_token() -> None:
    assert stream(delta(role="assistant", content=" he"), LAST, DONE).chunk_tokens == [1]


@pytest.mark.parametrize("empty", [delta(content=""), delta(role=None, content="")])
def test_an_empty_text_is_a_token(empty: dict[str, Any]) -> None:
    assert stream(TOKEN, empty, LAST, DONE).arrivals_ns == [0, 1]


def test_an_empty_text_is_a_token_in_a_completion() -> None:
    text = {"id": "a-1", "choices": [{"index": 0, "text": "", "finish_reason": None}]}
    assert stream(text, LAST, DONE).chunk_tokens == [1]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "tool_calls", "refusal"])
def test_what_a_model_thinks_or_calls_is_made_of_tokens(field: str) -> None:
    assert stream(delta(**{field: "x"}), LAST, DONE).chunk_tokens == [1]


@pytest.mark.parametrize("content", [{}, {"content": None}])
def test_a_finish_chunk_without_content_carries_no_token(content: dict[str, Any]) -> None:
    finish = {"id": "a-1", "choices": [{"index": 0, "delta": content, "finish_reason": "stop"}]}
    reading = stream(TOKEN, finish, LAST, DONE)
    assert (reading.arrivals_ns, reading.finish_reason) == ([0], "stop")


def test_token_ids_say_how_many_tokens_a_chunk_carries() -> None:
    several = {"id": "a-1", "choices": [{"index": 0, "delta": {"content": " he he"}, "token_ids": [602, 602, 5]}]}
    assert stream(several, TOKEN, LAST, DONE).chunk_tokens == [3, 1]


def test_running_usage_says_how_many_tokens_a_chunk_carries() -> None:
    counts = [0, 1, 4, 4, 5]
    chunks = [delta(content="x") | {"usage": usage(completion=count)} for count in counts]
    reading = stream(*chunks, LAST | {"usage": usage(completion=5)}, DONE)
    assert (reading.arrivals_ns, reading.chunk_tokens) == ([1, 2, 4], [1, 3, 1])


def test_running_usage_that_goes_back_takes_no_tokens_away() -> None:
    chunks = [delta(content="x") | {"usage": usage(completion=count)} for count in (3, 2)]
    assert stream(*chunks, LAST, DONE).chunk_tokens == [3]


def test_the_usage_chunk_gives_the_counts_and_is_no_token() -> None:
    reading = stream(TOKEN, TOKEN, LAST, DONE)
    assert (reading.input_tokens, reading.output_tokens, len(reading.arrivals_ns)) == (20, 2, 2)


def test_an_error_field_of_null_is_no_error() -> None:
    assert stream(TOKEN | {"error": None}, LAST, DONE).chunk_tokens == [1]


def test_ids_and_reasons_that_are_numbers_become_text() -> None:
    numbers = {"id": 17, "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": 3}]}
    reading = stream(numbers, LAST, DONE)
    assert (reading.response_id, reading.finish_reason) == ("17", "3")


def test_an_error_object_in_the_stream_is_a_fault_with_its_message() -> None:
    error = {"error": {"message": "CUDA out of memory", "type": "InternalServerError", "code": 500}}
    raised = fault(TOKEN, error, DONE)
    assert (raised.kind, raised.message) == ("stream_error", "CUDA out of memory")


def test_a_stream_without_its_end_is_incomplete() -> None:
    assert fault(TOKEN, TOKEN, LAST).kind == "incomplete"


def test_an_empty_stream_is_incomplete() -> None:
    assert fault().kind == "incomplete"


def test_a_stream_without_usage_is_a_fault() -> None:
    assert fault(TOKEN, DONE).kind == "no_usage"


def test_an_answer_without_a_token_is_a_fault() -> None:
    assert fault(delta(role="assistant"), LAST, DONE).kind == "empty"


@pytest.mark.parametrize("data", [b"{", b'{"id": "a', b"hello", b"[1,2]", b"7", b"null", b'"text"', b"\xff\xfe"])
def test_a_chunk_that_is_no_json_object_is_malformed(data: bytes) -> None:
    assert fault(TOKEN, data, DONE).kind == "malformed"


@pytest.mark.parametrize("count", ["2", 1.5, -1, None, [], 2**40])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_a_usage_that_is_no_count_is_malformed(name: str, count: Any) -> None:
    assert fault(TOKEN, {"choices": [], "usage": usage() | {name: count}}, DONE).kind == "malformed"


def test_what_came_before_a_fault_is_kept() -> None:
    reading = Reading()
    with pytest.raises(StreamFault):
        read([(5, b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'), (6, b"data: {\n\n")], reading)
    assert (reading.arrivals_ns, reading.chunk_tokens) == ([5], [1])


def test_what_comes_after_the_end_is_not_read() -> None:
    assert stream(TOKEN, LAST, DONE, b"{").chunk_tokens == [1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"error":{"message":"too long","type":"BadRequestError"}}', "too long"),
        (b'{"error":"Unauthorized"}', "Unauthorized"),
        (b'{"detail":"Not Found"}', "Not Found"),
        (b'{"error":null,"detail":"why"}', "why"),
        (b'{"message":"m"}', "m"),
        (b"<h1>Bad Gateway</h1>", "<h1>Bad Gateway</h1>"),
        (b"[1]", "[1]"),
        (b"", ""),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_an_error_body_gives_its_message(text: bytes, message: str) -> None:
    assert error_text(text) == message


def test_every_recorded_error_gives_a_message_in_words() -> None:
    bodies = [
        part.partition("\r\n\r\n")[2] for part in (RECORDED / "errors.txt").read_bytes().decode().split("### ")[1:]
    ]
    messages = [error_text(text.encode()) for text in bodies]
    assert len(messages) > 5
    assert not any(message.startswith("{") or not message for message in messages)


def test_a_long_error_is_cut() -> None:
    assert len(error_text(orjson.dumps({"error": "x" * 100_000}))) == 2000
