"""What each switch changes in an answer, in the bytes that are sent and in the truth about them."""

import json
from dataclasses import fields
from typing import Any, get_args

import pytest

from shapebench.test_servers.odd.answers import Written, token_times, write
from shapebench.test_servers.odd.asked import Asked
from shapebench.test_servers.odd.oddities import ErrorForm, Heartbeat, Key, Oddities, Timing, UsageValues

TIMING = Timing()
TOKENS = 4
USAGE = {"prompt_tokens": 10, "completion_tokens": TOKENS, "total_tokens": 14}


def written(asked: Asked | None = None, **switches: Any) -> Written:
    return write(Oddities(**switches), asked or Asked(output_tokens=TOKENS), TIMING)


def text(answer: Written) -> str:
    return b"".join(data for _, data in answer.pieces).decode()


def datas(answer: Written) -> list[str]:
    """The data of each event, as a client that knows the standard finds them."""
    events = text(answer).replace("\r\n", "\n").replace("\r", "\n").split("\n\n")
    lines = [[x[5:].removeprefix(" ") for x in event.split("\n") if x.startswith("data:")] for event in events]
    return ["\n".join(some) for some in lines if some]


def chunks(answer: Written) -> list[dict[str, Any]]:
    return [json.loads(data) for data in datas(answer) if data not in ("", "[DONE]")]


def deltas(answer: Written) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in chunks(answer) for choice in chunk["choices"]]


def texts(answer: Written, field: str = "content") -> list[str]:
    return [delta[field] for delta in deltas(answer) if field in delta and "role" not in delta]


def usages(answer: Written) -> list[dict[str, Any]]:
    return [chunk["usage"] for chunk in chunks(answer) if "usage" in chunk]


def at_ms(answer: Written) -> list[float]:
    return [round(1e3 * at_s, 2) for at_s in token_times(answer, answer.at_s).tokens]


def test_the_usual_server_sends_a_role_each_token_a_reason_usage_and_done() -> None:
    answer = written()
    assert [round(1e3 * at_s, 1) for at_s in answer.at_s] == [30, 35, 40, 45, 50, 52, 53, 54]
    assert deltas(answer) == [{"role": "assistant", "content": ""}, *[{"content": " tick"}] * TOKENS, {}]
    assert usages(answer) == [USAGE]
    assert datas(answer)[-1] == "[DONE]"
    assert at_ms(answer) == [35, 40, 45, 50]


def test_a_completion_has_texts_and_no_role() -> None:
    answer = written(Asked(output_tokens=2, chat=False))
    assert [choice["text"] for chunk in chunks(answer) for choice in chunk["choices"]] == [" tick", " tick", ""]


def test_an_answer_that_is_not_streamed_is_whole_when_its_last_token_is() -> None:
    answer = written(Asked(output_tokens=TOKENS, stream=False))
    content = json.loads(text(answer))
    assert content["choices"][0]["message"]["content"] == " tick" * TOKENS
    assert (content["usage"], answer.at_s) == (USAGE, [TIMING.token_s(3)])


@pytest.mark.parametrize(
    ("switches", "expected", "token_ms"),
    [
        ({"tokens_per_chunk": 3}, [" tick" * 3, " tick"], [45, 45, 45, 50]),
        ({"tokens_per_chunk": 3, "first_token_alone": True}, [" tick", " tick" * 3], [35, 50, 50, 50]),
        ({"chunk_per_character": True}, [*" tick"] * TOKENS, [39, 44, 49, 54]),
        ({"half_characters": True}, ["", " é"] * 2, [35, 40, 45, 50]),
        ({"texts": "varied"}, [" a", " word", " of", " very"], [35, 40, 45, 50]),
        ({"leading_empty_chunks": 2}, ["", "", *[" tick"] * TOKENS], [35, 40, 45, 50]),
        ({"empty_chunks_between": True}, [" tick", ""] * TOKENS, [35, 40, 45, 50]),
        ({"stops_after_tokens": 2}, [" tick"] * 2, [35, 40]),
        ({"finish": "with_empty_content"}, [*[" tick"] * TOKENS, ""], [35, 40, 45, 50]),
        ({"segments": "three_events"}, [" tick"] * TOKENS, [40, 40, 52, 52]),
        ({"segments": "cut_anywhere"}, [" tick"] * TOKENS, [35.5, 40.5, 45.5, 50.5]),
        ({"segments": "whole_answer"}, [" tick"] * TOKENS, [54, 54, 54, 54]),
        ({"second_choice": True}, [" tick"] * 2 * TOKENS, [35, 35, 40, 40, 45, 45, 50, 50]),
    ],
    ids=str,
)
def test_texts_come_in_these_chunks_and_tokens_at_these_times(
    switches: dict[str, Any], expected: list[str], token_ms: list[float]
) -> None:
    answer = written(**switches)
    assert (texts(answer), at_ms(answer)) == (expected, token_ms)


def test_leading_empty_chunks_come_before_the_role() -> None:
    assert written(leading_empty_chunks=2).at_s[:3] == [0.005, 0.01, 0.03]


@pytest.mark.parametrize(
    ("role_chunk", "first", "with_role"),
    [
        ("empty_content", {"role": "assistant", "content": ""}, 1),
        ("no_content", {"role": "assistant"}, 1),
        ("null_content", {"role": "assistant", "content": None}, 1),
        ("none", {"content": " tick"}, 0),
        ("with_first_text", {"role": "assistant", "content": " tick"}, 1),
        ("every_chunk", {"role": "assistant", "content": ""}, 1 + TOKENS),
    ],
)
def test_the_role_stands_there(role_chunk: str, first: dict[str, Any], with_role: int) -> None:
    found = deltas(written(role_chunk=role_chunk))
    assert (found[0], sum("role" in delta for delta in found)) == (first, with_role)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_the_first_half_is_reasoning(field: str) -> None:
    answer = written(reasoning=field)
    times = token_times(answer, answer.at_s)
    assert (len(texts(answer, field)), len(texts(answer))) == (2, 2)
    assert (times.first_token, times.first_answer, answer.reasoning_tokens) == (0.035, TIMING.token_s(2), 2)
    assert usages(answer)[0]["completion_tokens_details"] == {"reasoning_tokens": 2}


@pytest.mark.parametrize(
    ("reasoning", "keys"),
    [
        ("both", {"reasoning", "reasoning_content"}),
        ("reasoning_details", {"reasoning_details"}),
        ("details_and_text", {"reasoning", "reasoning_details"}),
    ],
)
def test_reasoning_stands_in_several_fields(reasoning: str, keys: set[str]) -> None:
    assert set(deltas(written(reasoning=reasoning))[1]) == keys


def test_hidden_reasoning_counts_with_the_first_text() -> None:
    answer = written(reasoning="hidden")
    assert (texts(answer), at_ms(answer), answer.reasoning_tokens) == ([" tick"] * 2, [45, 45, 45, 50], 2)
    assert usages(answer) == [USAGE | {"completion_tokens_details": {"reasoning_tokens": 2}}]


@pytest.mark.parametrize(("may_think", "reasoned"), [(True, 2), (False, 0)])
def test_it_thinks_unless_it_is_told_not_to(may_think: bool, reasoned: int) -> None:
    answer = written(Asked(output_tokens=TOKENS, may_think=may_think), thinks_unless_disabled=True)
    assert answer.reasoning_tokens == reasoned


def test_a_tool_call_has_its_name_first() -> None:
    calls = [delta["tool_calls"][0]["function"] for delta in deltas(written(tool_calls=True)) if "tool_calls" in delta]
    assert calls == [{"name": " tick", "arguments": ""}, *[{"arguments": " tick"}] * 3]


@pytest.mark.parametrize(
    ("switches", "reasons"),
    [
        ({}, [*[None] * 5, "length"]),
        ({"finish": "with_last_text"}, [*[None] * 4, "length"]),
        ({"finish": "twice"}, [*[None] * 5, "length", "length"]),
        ({"finish": "missing"}, [None] * 5),
        ({"finish_reason": "eos"}, [*[None] * 5, "eos"]),
    ],
    ids=str,
)
def test_the_finish_reason_stands_there(switches: dict[str, Any], reasons: list[str | None]) -> None:
    found = [choice["finish_reason"] for chunk in chunks(written(**switches)) for choice in chunk["choices"]]
    assert found == reasons


def test_it_never_says_done() -> None:
    assert "[DONE]" not in text(written(no_done=True))


@pytest.mark.parametrize(
    ("mode", "counts"),
    [
        ("zero", [0, 0, 0, 0]),
        ("running", [1, 2, 3, 4]),
        ("lagging", [0, 1, 2, 3]),
        ("every_other", [0, 2, 2, 4]),
        ("final", [4, 4, 4, 4]),
    ],
)
def test_each_text_chunk_has_usage(mode: str, counts: list[int]) -> None:
    found = usages(written(usage_in_chunks=mode))
    assert [usage["completion_tokens"] for usage in found] == [*counts, TOKENS]


@pytest.mark.parametrize(
    ("place", "index"),
    [
        ("own_chunk", [6]),
        ("with_empty_choice", [6]),
        ("finish_chunk", [5]),
        ("last_text", [4]),
        ("after_done", [7]),
        ("twice", [6, 7]),
        ("nowhere", []),
    ],
)
def test_the_final_usage_stands_there(place: str, index: list[int]) -> None:
    found = datas(written(usage_place=place))
    assert [at for at, data in enumerate(found) if "usage" in data] == index


@pytest.mark.parametrize(("unasked", "count"), [(False, 0), (True, 1)])
def test_usage_comes_unasked_only_if_so(unasked: bool, count: int) -> None:
    assert len(usages(written(Asked(with_usage=False), usage_unasked=unasked))) == count


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("true", USAGE),
        ("zero", dict.fromkeys(USAGE, 0)),
        ("no_prompt_tokens", {"completion_tokens": 4, "total_tokens": 14}),
        ("no_completion_tokens", {"prompt_tokens": 10, "total_tokens": 14}),
        ("null_completion_tokens", USAGE | {"completion_tokens": None}),
        ("with_cached", USAGE | {"prompt_tokens_details": {"cached_tokens": 8}}),
        ("without_cached", USAGE | {"prompt_tokens": 2, "prompt_tokens_details": {"cached_tokens": 8}}),
        (
            "anthropic",
            {"input_tokens": 2, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 0, "output_tokens": 4},
        ),
        ("without_reasoning", USAGE),
        ("as_text", {"prompt_tokens": "10", "completion_tokens": "4", "total_tokens": "14"}),
        ("as_floats", USAGE | {"completion_tokens": 4.0}),
    ],
)
def test_usage_says(values: UsageValues, expected: dict[str, Any]) -> None:
    assert usages(written(usage_values=values)) == [expected]


@pytest.mark.parametrize(
    ("count", "details"), [("true", {"reasoning_tokens": 2}), ("zero", {"reasoning_tokens": 0}), ("missing", None)]
)
def test_usage_says_how_many_tokens_are_reasoning(count: str, details: dict[str, int] | None) -> None:
    usage = usages(written(reasoning="reasoning", reasoning_count=count))[0]
    assert usage.get("completion_tokens_details") == details


def test_usage_leaves_out_reasoning() -> None:
    usage = usages(written(usage_values="without_reasoning", reasoning="reasoning"))[0]
    assert usage == USAGE | {"completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 2}}


@pytest.mark.parametrize("key", get_args(Key))
@pytest.mark.parametrize("switch", ["nulls", "missing"])
def test_a_key_that_says_nothing_is_null_or_missing_and_no_text_is_lost(switch: str, key: str) -> None:
    answer = written(**{switch: (key,), "finish": "with_empty_content"})
    found = [
        level
        for chunk in chunks(answer)
        for level in (chunk, *(chunk.get("choices") or ()), *(c.get("delta") for c in chunk.get("choices") or ()))
        if level is not None
    ]
    assert any(key in level and level[key] is None for level in found) == (switch == "nulls")
    assert text(answer).count(" tick") == TOKENS


HEARTBEAT_TEXTS: dict[Heartbeat, str] = {
    "empty_data": "data:\n\n",
    "null": "data: null\n\n",
    "comment": ": keep-alive\n\n",
    "ping": 'event: ping\ndata: {"type":"ping"}\n\n',
    "empty_object": "data: {}\n\n",
    "no_choices": 'data: {"choices":[]}\n\n',
    "event_only": "event: heartbeat\n\n",
    "blank_lines": "\n\n\n",
    "status_event": 'event: status\ndata: {"status":"processing"}\n\n',
}


@pytest.mark.parametrize("form", get_args(Heartbeat))
def test_heartbeats_come_before_the_first_token_and_between_tokens(form: Heartbeat) -> None:
    answer = written(heartbeats=(form,))
    at_ms = [round(1e3 * at_s, 1) for at_s, data in answer.pieces if data.decode() == HEARTBEAT_TEXTS[form]]
    assert at_ms == [15, 37.5, 42.5, 47.5]


@pytest.mark.parametrize(("place", "count"), [("before", 1), ("between", 3), ("both", 4)])
def test_heartbeats_come_there(place: str, count: int) -> None:
    assert text(written(heartbeats=("null",), heartbeats_at=place)).count("data: null") == count


@pytest.mark.parametrize(
    ("switches", "start"),
    [
        ({"line_end": "crlf"}, 'data: {"id"'),
        ({"line_end": "cr"}, 'data: {"id"'),
        ({"no_space": True}, 'data:{"id"'),
        ({"event_fields": True}, 'event: message\nid: 0\ndata: {"id"'),
        ({"json": "spaced"}, 'data: {"id": '),
        ({"json": "several_lines"}, 'data: {\ndata:  "id": '),
    ],
    ids=str,
)
def test_another_way_to_write_events_changes_nothing_that_is_said(switches: dict[str, Any], start: str) -> None:
    answer = written(**switches)
    assert text(answer).startswith(start)
    assert chunks(answer) == chunks(written())


@pytest.mark.parametrize(("line_end", "end"), [("lf", "\n"), ("crlf", "\r\n"), ("cr", "\r")])
def test_the_last_event_is_not_ended(line_end: str, end: str) -> None:
    assert text(written(line_end=line_end, no_last_blank_line=True)).endswith(f"data: [DONE]{end}")


MESSAGE = "the engine ran out of memory"
ERROR_TEXTS: dict[ErrorForm, str] = {
    "object": 'data: {"error":{"message":',
    "string": f'data: {{"error":"{MESSAGE}"}}',
    "flat": f'data: {{"object":"error","message":"{MESSAGE}"',
    "named_event": f'event: error\ndata: {{"message":"{MESSAGE}"}}',
    "named_text": f"event: error\ndata: {MESSAGE}",
    "detail": f'data: {{"detail":"{MESSAGE}"}}',
    "code_message": f'data: {{"code":"InternalServerError","message":"{MESSAGE}"}}',
    "error_list": f'data: {{"errors":[{{"message":"{MESSAGE}"}}]}}',
    "in_choice": f'"finish_reason":"error","error":{{"code":502,"message":"{MESSAGE}"}}',
    "finish_reason": '"finish_reason":"error"',
    "without_data": '\n{"error":{"message":',
    "cut": "tick",
    "early_end": "tick",
    "json_body": '{"error":{"message":',
}


@pytest.mark.parametrize("form", [form for form in get_args(ErrorForm) if form != "none"])
def test_an_error_is_told_in_this_form_after_so_many_tokens(form: ErrorForm) -> None:
    answer = written(error=form, error_after_tokens=2)
    assert ERROR_TEXTS[form] in text(answer)
    assert (answer.output_tokens, answer.error, answer.cut) == (2 * (form != "json_body"), MESSAGE, form == "cut")
    assert "[DONE]" not in text(answer)


@pytest.mark.parametrize(
    ("after", "ends"), [("nothing", []), ("done", ["[DONE]"]), ("usage_and_done", ["usage", "[DONE]"])]
)
def test_after_the_error_comes(after: str, ends: list[str]) -> None:
    found = datas(written(error="named_event", error_after_tokens=2, after_error=after))[4:]
    assert len(found) == len(ends)
    assert all(end in data for end, data in zip(ends, found, strict=True))


@pytest.mark.parametrize(("ignore_eos", "breaks"), [(True, True), (False, False)])
def test_ignore_eos_breaks_the_answer(ignore_eos: bool, breaks: bool) -> None:
    answer = written(Asked(ignore_eos=ignore_eos), ignore_eos_breaks=True)
    assert ("Unexpected token" in text(answer)) == breaks


def test_each_switch_has_a_help_and_an_unusual_server_differs_from_the_usual_one() -> None:
    assert all(len(get_args(hint)) == 2 for hint in Oddities.__annotations__.values())
    assert len(fields(Oddities)) > 50
