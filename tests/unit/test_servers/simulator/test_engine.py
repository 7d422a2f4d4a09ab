"""The model of continuous batching, without a clock."""

from dataclasses import replace

import pytest

from shapebench.test_servers.simulator.engine import BLOCK_TOKENS, Engine, PrefixCache, Request, block_hashes
from shapebench.test_servers.simulator.presets import Preset

PLAIN = Preset(
    name="plain",
    model="m",
    max_model_len=1000,
    base_s=1.0,
    per_sequence_s=0.1,
    per_prefill_token_s=0.01,
    kv_capacity_tokens=10_000,
    max_num_seqs=2,
    max_num_batched_tokens=100,
)


def engine_with(*requests: Request, preset: Preset = PLAIN) -> Engine:
    engine = Engine(preset)
    for request in requests:
        engine.add(request, 0.0)
    return engine


def step(engine: Engine, now_s: float = 0.0) -> float:
    duration_s = engine.begin_step(now_s).duration_s
    engine.end_step(now_s + duration_s)
    return now_s + duration_s


def run(engine: Engine) -> float:
    now_s = 0.0
    while engine.busy:
        now_s = step(engine, now_s)
    return now_s


def test_each_running_sequence_gets_one_token_a_step() -> None:
    first, second = Request(10, 5), Request(10, 5)
    engine = engine_with(first, second)
    step(engine)
    step(engine)
    assert (first.generated, second.generated) == (2, 2)


def test_a_step_takes_its_base_and_a_share_for_each_sequence_and_each_prompt_token() -> None:
    engine = engine_with(Request(10, 5), Request(20, 5))
    assert engine.begin_step(0.0).duration_s == pytest.approx(1.0 + 2 * 0.1 + 30 * 0.01)
    engine.end_step(1.5)
    assert engine.begin_step(1.5).duration_s == pytest.approx(1.0 + 2 * 0.1)


def test_a_prompt_longer_than_the_budget_is_computed_in_chunks() -> None:
    request = Request(250, 5)
    engine = engine_with(request)
    assert [engine_step(engine) for _ in range(3)] == [(100, 0), (100, 0), (50, 1)]


def engine_step(engine: Engine) -> tuple[int, int]:
    """Prompt tokens that a step computed, and the requests that got a token of the answer from it."""
    begun = engine.begin_step(0.0)
    return begun.prefill_tokens, len(engine.end_step(0.0))


def test_running_sequences_go_before_prompts_in_the_budget() -> None:
    running = Request(10, 50)
    engine = engine_with(running)
    step(engine)
    engine.add(Request(500, 5), 0.0)
    assert engine_step(engine) == (99, 1)


def test_a_queue_forms_behind_the_limit() -> None:
    requests = [Request(10, 5) for _ in range(5)]
    engine = engine_with(*requests)
    step(engine)
    assert (engine.running, list(engine.waiting)) == (requests[:2], requests[2:])


def test_the_queue_is_first_in_first_out() -> None:
    requests = [Request(10, 5) for _ in range(6)]
    run(engine_with(*requests))
    times_s = [request.first_token_s for request in requests]
    assert times_s == sorted(times_s)
    assert times_s[0] < times_s[2] < times_s[4]


def test_times_say_when_a_request_waited_and_when_its_tokens_came() -> None:
    first, second, third = Request(10, 2), Request(10, 2), Request(10, 2)
    run(engine_with(first, second, third))
    assert first.first_token_s == pytest.approx(1.4)
    assert first.last_token_s == pytest.approx(2.6)
    assert third.admitted_s == pytest.approx(2.6)
    assert third.last_token_s == pytest.approx(2.6 + 1.2 + 1.1)


def test_a_request_waits_while_the_kv_cache_has_no_room_for_its_prompt() -> None:
    first, second = Request(600, 3), Request(600, 3)
    engine = engine_with(first, second, preset=replace(PLAIN, kv_capacity_tokens=1100, max_num_batched_tokens=5000))
    step(engine)
    assert (engine.running, list(engine.waiting)) == ([first], [second])
    run(engine)
    assert second.generated == 3


def test_the_latest_request_is_preempted_when_the_answers_fill_the_kv_cache() -> None:
    first, second = Request(500, 400), Request(500, 400)
    engine = engine_with(first, second, preset=replace(PLAIN, kv_capacity_tokens=1100, max_num_batched_tokens=5000))
    run(engine)
    assert (first.preemptions, second.preemptions) == (0, 1)
    assert (first.generated, second.generated) == (400, 400)


def test_the_kv_cache_is_never_overfull() -> None:
    engine = engine_with(
        *(Request(100 + 37 * i, 50 + 13 * i) for i in range(12)),
        preset=replace(PLAIN, kv_capacity_tokens=1500, max_num_seqs=12, max_num_batched_tokens=5000),
    )
    usages = []
    while engine.busy:
        engine.begin_step(0.0)
        usages.append(engine.kv_usage)
        engine.end_step(0.0)
    assert 0.5 < max(usages) <= 1


def test_kv_usage_is_the_tokens_held_of_the_capacity() -> None:
    engine = engine_with(Request(50, 5), Request(50, 5), preset=replace(PLAIN, kv_capacity_tokens=2000))
    assert engine.kv_usage == 0
    step(engine)
    assert engine.kv_usage == pytest.approx((50 + 1 + 50 + 1) / 2000)


def test_an_aborted_request_frees_its_place() -> None:
    requests = [Request(10, 50) for _ in range(3)]
    engine = engine_with(*requests)
    step(engine)
    engine.abort(requests[0])
    step(engine)
    assert engine.running == requests[1:]


def test_a_request_can_be_aborted_while_it_waits_and_in_the_middle_of_a_step() -> None:
    requests = [Request(10, 50) for _ in range(3)]
    engine = engine_with(*requests)
    engine.begin_step(0.0)
    engine.abort(requests[0])
    engine.abort(requests[2])
    assert engine.end_step(1.0) == [requests[1]]
    assert not engine.waiting


def test_aborting_a_request_that_ended_changes_nothing() -> None:
    request = Request(10, 1)
    engine = engine_with(request)
    run(engine)
    engine.abort(request)
    assert not request.aborted


def test_a_prompt_seen_before_is_not_computed_again() -> None:
    blocks = block_hashes(range(80))
    run(engine := engine_with(Request(80, 1, blocks=blocks)))
    engine.add(Request(80, 1, blocks=blocks), 0.0)
    assert engine.begin_step(0.0).prefill_tokens == BLOCK_TOKENS, "the block of the last token is always computed"


def test_a_prompt_that_shares_its_head_is_computed_from_where_it_differs() -> None:
    run(engine := engine_with(Request(64, 1, blocks=block_hashes(range(64)))))
    other = block_hashes([*range(32), *range(900, 932)])
    engine.add(Request(64, 1, blocks=other), 0.0)
    assert engine.begin_step(0.0).prefill_tokens == 32


def test_the_same_tokens_after_another_head_are_another_block() -> None:
    assert block_hashes([*range(16), *range(16)])[1] != block_hashes(range(16))[0]


def test_the_least_recently_used_blocks_are_forgotten_first() -> None:
    cache = PrefixCache(capacity_tokens=2 * BLOCK_TOKENS)
    for block in (1, 2, 1, 3):
        cache.remember([block])
    assert [cache.hit_tokens([block], 100) for block in (1, 2, 3)] == [BLOCK_TOKENS, 0, BLOCK_TOKENS]


def test_a_request_can_be_aborted_before_it_was_added() -> None:
    request = Request(10, 1)
    engine_with().abort(request)
    assert request.aborted
