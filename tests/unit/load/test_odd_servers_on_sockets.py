"""A level against each odd server, over real sockets: its samples agree with what the server says it sent."""

from typing import Any

import pytest

from shapebench.apis.target import Target
from shapebench.load.plan import LevelPlan
from shapebench.load.prompts import RequestMix
from shapebench.runs.prompt_sizing import PromptSizing
from shapebench.runs.samples_file import Sample
from shapebench.spec.lengths import Lengths
from shapebench.test_servers.odd.oddities import Oddities
from tests.examples import nightly_but
from tests.odd_server import OddServer, odd_server
from tests.unit.load.test_level import Kept

pytestmark = pytest.mark.measures_time

TOKENS = 20
NEAR_S = 0.004  # the server runs in a thread of the same process
EACH: list[dict[str, Any]] = [
    {},
    {"tokens_per_chunk": 5},
    {"tokens_per_chunk": 5, "first_token_alone": True},
    {"chunk_per_character": True},
    {"half_characters": True},
    {"texts": "varied"},
    {"texts": "escaped"},
    {"leading_empty_chunks": 1},
    {"empty_chunks_between": True},
    {"stops_after_tokens": 7},
    {"role_chunk": "none"},
    {"role_chunk": "every_chunk"},
    {"reasoning": "reasoning_content"},
    {"reasoning": "details_and_text"},
    {"thinks_unless_disabled": True},
    {"tool_calls": True},
    {"choice_index": 1},
    {"second_choice": True},
    {"finish": "with_empty_content"},
    {"finish": "missing"},
    {"no_done": True},
    {"usage_in_chunks": "zero"},
    {"usage_in_chunks": "running"},
    {"usage_in_chunks": "lagging"},
    {"usage_place": "finish_chunk"},
    {"usage_place": "after_done"},
    {"usage_values": "without_cached"},
    {"usage_values": "without_reasoning", "reasoning": "reasoning"},
    {"nulls": ("delta", "choices", "usage", "content", "tool_calls")},
    {"missing": ("finish_reason", "delta", "choices", "id")},
    {"heartbeats": ("empty_data", "null", "comment", "ping", "empty_object", "no_choices")},
    {"line_end": "crlf"},
    {"line_end": "cr"},
    {"no_space": True},
    {"event_fields": True},
    {"json": "spaced"},
    {"json": "several_lines"},
    {"no_last_blank_line": True},
    {"segments": "cut_anywhere"},
    {"segments": "three_events"},
    {"segments": "whole_answer"},
]
FAILING: list[dict[str, Any]] = [
    {"error": "object"},
    {"error": "named_event", "after_error": "usage_and_done"},
    {"error": "flat"},
    {"error": "in_choice"},
    {"error": "cut"},
    {"error": "json_body"},
    {"ignore_eos_breaks": True},
    {"limited_requests": 100},
    {"refuses": ("ignore_eos",)},
]


def measured(server: OddServer, **changes: Any) -> list[Sample]:
    """Samples of one small level, without its warm-up."""
    plan = LevelPlan(
        target=Target(server.url, "m", "chat", enforce_output_tokens=True, **changes),
        mix=RequestMix(PromptSizing(("a", "b", "c")), Lengths(8, 0), Lengths(TOKENS, 0), seed=1),
        concurrency=2,
        requests=4,
        warmup_requests=2,
        request_timeout_s=10,
        samples="",
    )
    return [made for made in Kept(plan).measure().samples if not made.warmup]


@pytest.mark.parametrize("switches", nightly_but(EACH, {}, EACH[1], EACH[7], EACH[21]), ids=str)
def test_a_level_has_the_times_and_counts_that_the_server_sent(switches: dict[str, Any]) -> None:
    with odd_server(Oddities(**switches)) as server:
        samples = measured(server)
        truths = {truth["request_id"]: truth for truth in server.truths(6)}
    first_late_s, last_late_s = list[float](), list[float]()
    assert [made.error_message for made in samples if made.error_kind] == []
    for made in samples:
        if truth := truths.get(made.response_id or ""):  # unless the server leaves out its ids
            first_late_s.append(made.chunk_offsets_s[0] - (truth["first_token_ns"] - made.sent_at_ns) / 1e9)
            last_late_s.append(made.chunk_offsets_s[-1] - (truth["sent_ns"][-1] - made.sent_at_ns) / 1e9)
            assert (made.output_tokens, made.input_tokens) == (truth["output_tokens"], truth["prompt_tokens"])
    # A client that is kept waiting reads several chunks at once, which then have the time of the last.
    assert min(map(abs, first_late_s), default=0) < NEAR_S
    assert min(map(abs, last_late_s), default=0) < NEAR_S


@pytest.mark.parametrize("switches", nightly_but(FAILING, FAILING[1], FAILING[4]), ids=str)
def test_each_answer_that_fails_is_a_sample_with_the_servers_words(switches: dict[str, Any]) -> None:
    with odd_server(Oddities(**switches)) as server:
        samples = measured(server)
    assert [made for made in samples if made.error_kind is None or not made.error_message] == []
