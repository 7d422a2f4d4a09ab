"""Which chunk carries how many tokens, and what makes a stream no answer."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shapebench.apis.api import Api
from shapebench.apis.chunk_interning import ChunkInterner, cut
from shapebench.apis.openai import CHAT, COMPLETIONS
from shapebench.apis.reading import Reading, StreamError, error_text
from shapebench.apis.stream_reader import Piece, read
from tests.examples import examples
from tests.unit.apis.test_sse import NAMES, body

RECORDED = Path(__file__).parents[2] / "contract" / "recorded"
DONE = b"[DONE]"


def delta(**content: Any) -> dict[str, Any]:
    return {"id": "a-1", "choices": [{"index": 0, "delta": content, "finish_reason": None}]}


def usage(prompt: Any = 20, completion: Any = 2) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": 22}


TOKEN = delta(content=" he")
LAST = {"id": "a-1", "choices": [], "usage": usage()}
ONE = {"id": "a-1", "choices": [], "usage": usage(completion=1)}


def pieces(*texts: bytes) -> list[Piece]:
    """Pieces that arrive at 0, 1, 2, …"""
    return [(at, text, len(text)) for at, text in enumerate(texts)]


def stream(*chunks: Any) -> Reading:
    """Read chunks that arrive at 0, 1, 2, …; bytes are sent as they are."""
    reading = Reading()
    texts = [chunk if isinstance(chunk, bytes) else orjson.dumps(chunk) for chunk in chunks]
    read(CHAT, pieces(*(b"data: %b\n\n" % text for text in texts)), reading)
    return reading


FINISH = {"id": "a-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}


def fault(*chunks: Any) -> StreamError:
    with pytest.raises(StreamError) as raised:
        stream(*chunks)
    return raised.value


@pytest.mark.parametrize("name", NAMES)
def test_in_a_recorded_stream_the_tokens_counted_are_those_of_its_usage(name: str) -> None:
    reading = Reading()
    read(CHAT, pieces(body(name)), reading)
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
    assert stream(delta(role="assistant", content=" he"), ONE, DONE).chunk_tokens == [1]


@pytest.mark.parametrize("empty", [delta(content=""), delta(role=None, content="")])
def test_an_empty_text_is_a_token(empty: dict[str, Any]) -> None:
    assert stream(TOKEN, empty, LAST, DONE).arrivals_ns == [0, 1]


def test_an_empty_text_is_a_token_in_a_completion() -> None:
    text = {"id": "a-1", "choices": [{"index": 0, "text": "", "finish_reason": None}]}
    assert stream(text, ONE, DONE).chunk_tokens == [1]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "tool_calls", "refusal"])
def test_what_a_model_thinks_or_calls_is_made_of_tokens(field: str) -> None:
    assert stream(delta(**{field: "x"}), ONE, DONE).chunk_tokens == [1]


@pytest.mark.parametrize("content", [{}, {"content": None}])
def test_a_finish_chunk_without_content_carries_no_token(content: dict[str, Any]) -> None:
    finish = {"id": "a-1", "choices": [{"index": 0, "delta": content, "finish_reason": "stop"}]}
    reading = stream(TOKEN, finish, LAST, DONE)
    assert (reading.arrivals_ns, reading.finish_reason) == ([0], "stop")


def test_token_ids_say_how_many_tokens_a_chunk_carries() -> None:
    several = {"id": "a-1", "choices": [{"index": 0, "delta": {"content": " he he"}, "token_ids": [602, 602, 5]}]}
    assert stream(several, several, LAST | {"usage": usage(completion=6)}, DONE).chunk_tokens == [3, 3]


def test_running_usage_says_how_many_tokens_a_chunk_carries() -> None:
    counts = [1, 4, 5]
    chunks = [delta(content="x") | {"usage": usage(completion=count)} for count in counts]
    reading = stream(*chunks, LAST | {"usage": usage(completion=5)}, DONE)
    assert (reading.chunk_tokens, reading.token_counts) == ([1, 3, 1], "counted")


def test_a_chunk_without_a_text_at_which_running_usage_grows_is_a_token() -> None:
    chunks = [delta(content=text) | {"usage": usage(completion=n)} for text, n in (("", 0), ("x", 1), ("", 1), ("", 2))]
    assert stream(*chunks, LAST, DONE).arrivals_ns == [1, 3]


@pytest.mark.parametrize("counts", [(0, 0, 0), (3, 3, 3), (0, 1, 3), (1, 2, 2), (3, 2, 3), (None, 1, 3)])
def test_running_usage_that_does_not_grow_with_the_text_says_nothing_of_chunks(counts: tuple[int | None, ...]) -> None:
    chunks = [delta(content="xyz") | {"usage": usage(completion=count)} for count in counts]
    reading = stream(*chunks, LAST | {"usage": usage(completion=6)}, DONE)
    assert (reading.chunk_tokens, reading.token_counts) == ([2, 2, 2], "apportioned")


def test_usage_only_in_the_last_chunk_with_a_token_does_not_count_those_before_it_again() -> None:
    last = delta(content="x") | {"usage": usage(completion=3)}
    reading = stream(TOKEN, TOKEN, last, DONE)
    assert (reading.chunk_tokens, reading.unaccounted_tokens) == ([1, 1, 1], 0)


def test_usage_in_the_first_chunk_alone_does_not_make_the_last_one_carry_all() -> None:
    opening = delta(role="assistant", content="") | {"usage": usage(completion=0)}
    last = delta(content="x") | {"usage": usage(completion=3)}
    assert stream(opening, TOKEN, TOKEN, last, DONE).chunk_tokens == [1, 1, 1]


@pytest.mark.parametrize(("counted", "unaccounted"), [(2, 0), (5, 3), (1, -1)])
def test_what_the_server_counted_is_held_against_what_its_chunks_carried(counted: int, unaccounted: int) -> None:
    reading = stream(TOKEN, TOKEN, LAST | {"usage": usage(completion=counted)}, DONE)
    assert reading.unaccounted_tokens == unaccounted


def test_the_usage_chunk_gives_the_counts_and_is_no_token() -> None:
    reading = stream(TOKEN, TOKEN, LAST, DONE)
    assert (reading.input_tokens, reading.output_tokens, len(reading.arrivals_ns)) == (20, 2, 2)


def test_an_error_field_of_null_is_no_error() -> None:
    assert stream(TOKEN | {"error": None}, ONE, DONE).chunk_tokens == [1]


def test_ids_and_reasons_that_are_numbers_become_text() -> None:
    numbers = {"id": 17, "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": 3}]}
    reading = stream(numbers, LAST, DONE)
    assert (reading.response_id, reading.finish_reason) == ("17", "3")


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "CUDA out of memory", "type": "InternalServerError", "code": 500}},
        {"error": "CUDA out of memory"},
        {"object": "error", "message": "CUDA out of memory"},
        {"detail": "CUDA out of memory"},
        {"choices": None, "message": "CUDA out of memory"},
        {"choices": [], "error": {"message": "CUDA out of memory"}, "usage": usage()},
    ],
)
def test_an_error_in_the_stream_is_a_fault_with_its_message(error: dict[str, Any]) -> None:
    raised = fault(TOKEN, error, LAST, DONE)
    assert (raised.kind, raised.message) == ("stream_error", "CUDA out of memory")


def test_an_event_of_the_name_error_is_one_whatever_comes_after_it() -> None:
    texts = b'event: error\ndata: {"message": "boom"}\n\n', b"data: %b\n\n" % orjson.dumps(LAST), b"data: [DONE]\n\n"
    with pytest.raises(StreamError, match="boom"):
        read(CHAT, pieces(b"data: %b\n\n" % orjson.dumps(TOKEN), *texts), Reading())


def test_a_stream_without_its_end_is_incomplete() -> None:
    assert fault(TOKEN, TOKEN).kind == "incomplete"


def test_an_empty_stream_is_incomplete() -> None:
    assert fault().kind == "incomplete"


@pytest.mark.parametrize("end", [(FINISH, LAST), (FINISH,), (LAST,)])
def test_a_stream_that_ends_with_a_reason_or_usage_is_complete_without_a_marker(end: tuple[Any, ...]) -> None:
    assert not stream(TOKEN, TOKEN, *end).done


def test_an_answer_without_usage_has_a_token_in_each_chunk_which_is_not_known() -> None:
    reading = stream(delta(content=""), TOKEN, TOKEN, DONE)
    assert (reading.arrivals_ns, reading.chunk_tokens, reading.token_counts) == ([1, 2], [1, 1], "unknown")
    assert reading.output_tokens is None


def test_usage_may_come_after_the_end() -> None:
    assert stream(TOKEN, TOKEN, FINISH, DONE, LAST).output_tokens == 2


def test_usage_may_come_with_the_finish() -> None:
    assert stream(TOKEN, TOKEN, FINISH | {"usage": usage()}, DONE).chunk_tokens == [1, 1]


def test_usage_of_zero_tokens_tells_nothing() -> None:
    assert stream(TOKEN, TOKEN, LAST, LAST | {"usage": usage(0, 0)}, DONE).output_tokens == 2


def test_chunks_of_several_tokens_share_the_usage_by_their_text() -> None:
    reading = stream(delta(content="ab"), delta(content="abcd"), LAST | {"usage": usage(completion=12)}, DONE)
    assert (reading.chunk_tokens, reading.token_counts) == ([4, 8], "apportioned")


def test_a_token_of_several_chunks_counts_when_it_is_complete() -> None:
    reading = stream(*[delta(content="x")] * 6, LAST | {"usage": usage(completion=2)}, DONE)
    assert (reading.arrivals_ns, reading.chunk_tokens) == ([0, 5], [1, 1])


def test_a_single_token_of_several_chunks_ends_with_the_last_of_them() -> None:
    reading = stream(*[delta(content="x")] * 4, LAST | {"usage": usage(completion=1)}, DONE)
    assert (reading.arrivals_ns, reading.chunk_tokens) == ([0, 3], [1, 0])


def test_chunks_before_any_text_are_no_first_token() -> None:
    reading = stream(delta(content=""), delta(content=""), TOKEN, TOKEN, LAST, DONE)
    assert reading.arrivals_ns == [2, 3]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "reasoning_details"])
def test_the_answer_begins_after_the_reasoning(field: str) -> None:
    thought = [{"type": "reasoning.text", "text": "x"}] if field == "reasoning_details" else "x"
    reading = stream(delta(**{field: thought}), delta(**{field: thought, "content": ""}), TOKEN, TOKEN, DONE)
    assert (reading.first_answer_ns, reading.reasoning_tokens) == (2, 2)


def test_the_server_counts_its_reasoning_better() -> None:
    counted = usage(completion=3) | {"completion_tokens_details": {"reasoning_tokens": 1}}
    assert stream(delta(reasoning="x"), TOKEN, TOKEN, LAST | {"usage": counted}, DONE).reasoning_tokens == 1


def reasoned(output_tokens: int, reasoning_tokens: int) -> dict[str, Any]:
    counted = usage(completion=output_tokens) | {"completion_tokens_details": {"reasoning_tokens": reasoning_tokens}}
    return LAST | {"usage": counted}


def test_reasoning_that_is_not_sent_counts_with_the_first_chunk() -> None:
    reading = stream(TOKEN, TOKEN, TOKEN, reasoned(39, 36), DONE)
    assert (reading.chunk_tokens, reading.token_counts, reading.unaccounted_tokens) == ([37, 1, 1], "counted", 0)
    assert reading.first_answer_ns == 0


def test_reasoning_that_usage_counts_beside_the_output_is_not_taken_from_it() -> None:
    assert stream(TOKEN, TOKEN, TOKEN, reasoned(3, 2), DONE).chunk_tokens == [1, 1, 1]


def test_a_summary_of_the_reasoning_has_the_tokens_that_were_thought() -> None:
    reading = stream(delta(reasoning="in "), delta(reasoning="short"), TOKEN, TOKEN, reasoned(82, 80), DONE)
    assert (sum(reading.chunk_tokens[:2]), reading.chunk_tokens[2:]) == (80, [1, 1])


def test_an_end_of_the_sequence_that_is_counted_and_not_sent_hides_no_arrival() -> None:
    texts = [delta(content=text) for text in ("Hello", "!", " How", " are", " you", "?")]
    reading = stream(*texts, LAST | {"usage": usage(completion=7)}, DONE)
    assert reading.arrivals_ns == [0, 1, 2, 3, 4, 5]
    assert (sorted(reading.chunk_tokens), reading.unaccounted_tokens) == ([1, 1, 1, 1, 1, 2], 1)


def test_an_answer_without_reasoning_has_no_reasoning_tokens() -> None:
    reading = stream(TOKEN, TOKEN, LAST, DONE)
    assert (reading.first_answer_ns, reading.reasoning_tokens) == (0, None)


@pytest.mark.parametrize("heartbeat", [b"", b" ", b"null", b"{}", b'{"choices":[]}', b'{"choices":null}'])
def test_a_heartbeat_is_no_arrival(heartbeat: bytes) -> None:
    assert stream(heartbeat, TOKEN, heartbeat, TOKEN, LAST, DONE).arrivals_ns == [1, 3]


@pytest.mark.parametrize(
    "nothing",
    [
        {"index": 0, "delta": None, "finish_reason": "stop"},
        {"index": 0, "finish_reason": "stop"},
        {"delta": {"role": None, "content": None, "tool_calls": None, "reasoning": None}, "finish_reason": None},
        {"delta": {"content": None, "tool_calls": []}, "token_ids": None},
        {"delta": []},
        None,
    ],
)
def test_null_may_be_in_any_place(nothing: Any) -> None:
    chunk = {"id": None, "choices": [nothing], "usage": None, "system_fingerprint": None}
    assert stream(TOKEN, TOKEN, chunk, LAST, DONE).arrivals_ns == [0, 1]


def test_an_answer_without_a_token_is_a_fault() -> None:
    assert fault(delta(role="assistant"), LAST, DONE).kind == "empty"


@pytest.mark.parametrize("data", [b"{", b'{"id": "a', b"hello", b"[1,2]", b"7", b'"text"', b"\xff\xfe"])
def test_a_chunk_that_is_no_json_object_is_malformed(data: bytes) -> None:
    assert fault(TOKEN, data, DONE).kind == "malformed"


@pytest.mark.parametrize("count", ["2", 1.5, -1, True, [], 2**40])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_a_usage_that_is_no_count_is_malformed(name: str, count: Any) -> None:
    assert fault(TOKEN, {"choices": [], "usage": usage() | {name: count}}, DONE).kind == "malformed"


def test_what_came_before_a_fault_is_kept() -> None:
    reading = Reading()
    with pytest.raises(StreamError):
        read(CHAT, pieces(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n', b"data: {\n\n"), reading)
    assert (reading.arrivals_ns, reading.chunk_tokens) == ([0], [1])


def test_what_comes_after_the_end_is_not_read() -> None:
    assert stream(TOKEN, ONE, DONE, b"{").chunk_tokens == [1]


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


def outcome(pieces: list[Piece], api: Api) -> tuple[Reading, str | None]:
    """All that reading comes to, and the kind of its fault, whose message may cite another piece's text."""
    reading = Reading()
    try:
        read(api, pieces, reading)
    except StreamError as raised:
        return reading, raised.kind
    except Exception as error:  # noqa: BLE001 - what a strange chunk leads to is to be the same, too
        return reading, type(error).__name__
    return reading, None


def alike_and_not(texts: list[bytes]) -> tuple[list[Piece], list[Piece]]:
    """The pieces as a connection keeps them, and as they came, none of which is another."""
    alike = ChunkInterner()
    kept = [(at, alike.intern(text), len(text)) for at, text in enumerate(texts)]
    return kept, [(at, bytes(bytearray(text)), len(text)) for at, text in enumerate(texts)]


EVENTS = [text for name in NAMES for text in re.findall(rb".*?\n\n", body(name), re.DOTALL)]
MUTATIONS = [
    (rb'"content":"[^"]*"', [b'"content":null', b'"content":""', b'"content":"x","role":"assistant"']),
    (rb'"(content|text)":"[^"]*"', [rb'"\1":"%b"' % text for text in (b"", b"a", b"\xc3\xa9", b"\xe2\x80\xa8")]),
    (rb'"(content|text)":"[^"]*"', [rb'"\1":"%b"' % text for text in (b"\t", b"\x00", b"\x7f", b"\xff", b"\r", b"\n")]),
    (rb'"(content|text)":"[^"]*"', [rb'"\1":"\\"', rb'"\1":"\\"","role":"a', rb'"\1":"a","text":"b"', rb'"\1": "a"']),
    (rb'"token_ids":[^\]},]*\]?', [b'"token_ids":[1,2,3]', b'"token_ids": [5]', b'"token_ids":null', b'"x":1']),
    (rb'"finish_reason":[^,}]*', [b'"finish_reason":"stop"', b'"finish_reason" : "length"', b'"finish_reason":null']),
    (rb'"model":', [b'"usage":{"prompt_tokens":1,"completion_tokens":9},"model":', b'"usage": null,"model":']),
    (
        rb'"model":',
        [b'"us\\\\u0061ge":{"prompt_tokens":1,"completion_tokens":4},"model":', b'"error":{"message":"e"},"m":'],
    ),
    (rb'"delta":{', [b'"delta":{"role":"assistant",', b'"delta":{"r\\\\u006fle":"a",', b'"delta":{"role" : null,']),
    (rb'"id":"[^"]*"', [b'"id":"other"', b'"id":null', b'"id":""']),
    (rb"^data: ", [b"data:", b": ", b"data: data: ", b" data: ", b"event: x\ndata: ", b"data: \ndata: "]),
    (rb"\n\n$", [b"\n", b"", b"\r\n\r\n", b"\n\n\n", b"\r\r", b"}\n\n", b"\n\ndata: [DONE]\n\n"]),
    (rb"^data: .*$", [b"data: [DONE]", b"data: {", b": ping", b"", b"data: 7"]),
]


@st.composite
def mutated(draw: st.DrawFn) -> list[bytes]:
    """Pieces of a recorded stream, mutated, repeated, joined and cut."""
    pieces = []
    for place in draw(st.lists(st.integers(0, len(EVENTS) - 1), min_size=1, max_size=12)):
        text = EVENTS[place]
        for form, others in draw(st.lists(st.sampled_from(MUTATIONS), max_size=2)):
            text = re.sub(form, draw(st.sampled_from(others)), text, count=1, flags=re.DOTALL)
        size = draw(st.one_of(st.just(len(text)), st.integers(0, len(text))))
        pieces += [text[:size], *([text[size:]] if draw(st.booleans()) else [])]
        pieces += [text] * draw(st.integers(0, 2))
    return pieces


@settings(deadline=None, max_examples=examples(600))
@given(mutated())
@example([EVENTS[1], EVENTS[1].replace(b" he", b"\t"), b"data: [DONE]\n\n"])
def test_that_one_piece_stands_for_those_like_it_never_changes_what_is_read(texts: list[bytes]) -> None:
    kept, came = alike_and_not(texts)
    for api in (CHAT, COMPLETIONS):
        assert outcome(kept, api) == outcome(came, api)


@settings(deadline=None, max_examples=examples(600))
@given(st.sampled_from(EVENTS), st.lists(st.binary(max_size=12) | st.text(max_size=12).map(str.encode), max_size=6))
def test_no_text_changes_what_is_read_of_pieces_that_look_alike(first: bytes, texts: list[bytes]) -> None:
    forms = [lambda _, text=text: b'"content":"%b"' % text for text in texts]
    kept, came = alike_and_not([first, *(re.sub(rb'"(content|text)":"[^"]*"', form, first) for form in forms)])
    for api in (CHAT, COMPLETIONS):
        assert outcome(kept, api) == outcome(came, api)


@pytest.mark.parametrize("name", ["sse_chat.txt", "sse_completions.txt"])
def test_most_chunks_of_a_recorded_stream_are_alike(name: str) -> None:
    """Or else the property above would say nothing."""
    texts = re.findall(rb".*?\n\n", body(name), re.DOTALL)
    kept, _ = alike_and_not(texts)
    assert len({id(text) for _, text, _ in kept}) < len(texts)


@pytest.mark.parametrize(
    "text",
    [
        b'data: {"choices":[{"delta":{"role":"assistant","content":"a"}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"a"},"token_ids":[1]}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"a"},"finish_reason": "stop"}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"a"}}],"usage" : {"completion_tokens":1}}\n\n',
        b'data: {"choices":[{"delta":{"content":"a","r\\u006fle":"b"}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"a"}}]}\n',
        b'{"choices":[{"delta":{"content":"a"}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"choices":[]}\n\n',
    ],
)
def test_a_piece_that_says_more_than_its_text_stands_for_no_other(text: bytes) -> None:
    assert cut(text) is None


def test_an_error_between_events_is_a_fault_with_its_message() -> None:
    pieces = [
        b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n',
        b'{"error":{"message":"boom"}}\n',
        b"data: [DONE]\n\n",
    ]
    with pytest.raises(StreamError, match="boom"):
        read(CHAT, [(at, piece, len(piece)) for at, piece in enumerate(pieces)], Reading())


@pytest.mark.parametrize(
    "named", [b"event: error\ndata: out of memory\n\n", b'data: {"errors":[{"message":"out of memory"}]}\n\n']
)
def test_an_error_is_told_in_any_form(named: bytes) -> None:
    with pytest.raises(StreamError, match="out of memory"):
        read(CHAT, [(0, named, len(named))], Reading())


@pytest.mark.parametrize(
    "choice", [{"finish_reason": "error"}, {"delta": {"content": ""}, "error": {"message": "bad"}}]
)
def test_an_error_in_a_choice_is_a_fault(choice: dict[str, Any]) -> None:
    assert fault(TOKEN, {"choices": [choice]}, LAST, DONE).kind == "stream_error"


def test_an_empty_chunk_from_before_prefill_is_no_token_though_there_are_as_many_chunks_as_tokens() -> None:
    pieces = [
        (at, b"data: %b\n\n" % orjson.dumps(chunk)) for at, chunk in [(0, delta(content="")), (50, TOKEN), (51, TOKEN)]
    ]
    usage_event = b"data: %b\n\n" % orjson.dumps(LAST | {"usage": usage(completion=3)})
    reading = Reading()
    read(
        CHAT,
        [(at, piece, len(piece)) for at, piece in [*pieces, (52, usage_event), (53, b"data: [DONE]\n\n")]],
        reading,
    )
    assert (reading.arrivals_ns, reading.token_counts) == ([50, 51], "apportioned")


@pytest.mark.parametrize(
    ("details", "counts"),
    [
        ({"completion_tokens_details": {"reasoning_tokens": 6}}, (10, 8)),
        ({"prompt_tokens_details": {"cached_tokens": 6}}, (16, 2)),
        ({}, (10, 2)),
    ],
)
def test_tokens_that_usage_counts_only_in_its_details_and_total_are_added(
    details: dict[str, Any], counts: tuple[int, int]
) -> None:
    said = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 18} | details
    reading = stream(TOKEN, TOKEN, LAST | {"usage": said}, DONE)
    assert (reading.input_tokens, reading.output_tokens) == counts


def test_reasoning_tokens_of_0_are_not_known_where_there_is_reasoning() -> None:
    said = usage(completion=2) | {"completion_tokens_details": {"reasoning_tokens": 0}}
    assert stream(delta(reasoning="x"), TOKEN, LAST | {"usage": said}, DONE).reasoning_tokens == 1


def test_usage_that_lags_behind_the_text_is_no_count_of_the_answer() -> None:
    chunks = [delta(content="x") | {"usage": usage(completion=count)} for count in (0, 1, 2)]
    assert stream(*chunks, DONE).output_tokens is None


def test_usage_in_the_last_text_alone_counts_no_chunk_for_itself() -> None:
    reading = stream(delta(content=""), TOKEN | {"usage": usage(completion=2)}, DONE)
    assert (reading.token_counts, reading.output_tokens) == ("apportioned", 2)


@pytest.mark.parametrize(
    "reason", ["error", "abort", "cancelled", "timeout", "network_error", "insufficient_system_resource"]
)
def test_an_answer_that_the_server_gave_up_is_a_failure(reason: str) -> None:
    given_up = {"id": "a-1", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    assert fault(TOKEN, given_up, ONE, DONE).args == ("stream_error", f"the finish reason is {reason}")


@pytest.mark.parametrize(
    "error",
    [
        {"error_code": 336100, "error_msg": "overloaded"},
        {"code": 500, "msg": "overloaded"},
        {"choices": [{"delta": {}}], "x_groq": {"error": "overloaded"}},
    ],
)
def test_an_error_under_a_name_of_a_vendors_own_has_its_words(error: dict[str, Any]) -> None:
    assert fault(TOKEN, error, ONE, DONE).args == ("stream_error", "overloaded")


def test_a_message_of_success_is_no_error() -> None:
    assert stream(TOKEN, {"code": 0, "message": "Success", "choices": [], "usage": usage(completion=1)}, DONE).done


@pytest.mark.parametrize(
    "last",
    [
        {"id": "a-1", "choices": [{"delta": {}, "finish_reason": "stop", "usage": usage()}]},
        {"id": "a-1", "choices": [{"delta": {}, "finish_reason": "stop"}], "x_groq": {"id": "r", "usage": usage()}},
    ],
    ids=["in the choice", "in x_groq"],
)
def test_usage_in_a_place_of_its_own_is_read(last: dict[str, Any]) -> None:
    reading = stream(TOKEN, TOKEN, last, DONE)
    assert (reading.input_tokens, reading.output_tokens, reading.chunk_tokens) == (20, 2, [1, 1])


@pytest.mark.parametrize(
    "thought",
    [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
    ],
    ids=["Mistral", "Databricks"],
)
def test_a_part_of_the_content_that_is_reasoning_is_no_answer(thought: dict[str, Any]) -> None:
    reading = stream(delta(content=[thought]), delta(content=[{"type": "text", "text": " he"}]), LAST, DONE)
    assert (reading.arrivals_ns, reading.first_answer_ns, reading.reasoning_tokens) == ([0, 1], 1, 1)


def test_space_after_the_end_marker_is_no_fault() -> None:
    assert stream(TOKEN, ONE, b"[DONE] ").done


def test_a_character_in_two_halves_is_joined() -> None:
    halves = [b'{"choices":[{"delta":{"content":"\\ud83d"}}]}', b'{"choices":[{"delta":{"content":"\\ude00"}}]}']
    reading = Reading(keeps_text=True)
    read(CHAT, pieces(*(b"data: %b\n\n" % text for text in (*halves, orjson.dumps(LAST), DONE))), reading)
    assert (reading.text, reading.chunk_tokens) == ("\N{GRINNING FACE}", [1, 1])
