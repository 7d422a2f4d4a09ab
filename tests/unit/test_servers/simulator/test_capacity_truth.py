"""What a preset can bear: the formula against the engine itself, in a closed loop without a clock."""

import random
from statistics import mean, quantiles

import pytest

from shapebench.test_servers.simulator.engine import Engine, Request
from shapebench.test_servers.simulator.presets import PRESETS, Preset, with_settings
from tests.simulator_truth import MAX_STREAMS, Lengths, greatest_concurrency, places, truth

ARTICLE = Lengths(200, 100)
A10 = PRESETS["a10-llama-3.2-3b"]


def closed_loop(preset: Preset, streams: int, requests_per_stream: int = 20) -> list[Request]:
    """The article's requests; the first three of each stream are not counted."""
    chance, now_s, done = random.Random(7), 0.0, list[Request]()
    engine = Engine(preset)
    while len(done) < streams * (requests_per_stream + 3):
        for _ in range(streams - len(engine.waiting) - len(engine.running)):
            engine.add(Request(round(chance.gauss(200, 40)), round(chance.gauss(100, 10))), now_s)
        now_s += engine.begin_step(now_s).duration_s
        done += [request for request in engine.end_step(now_s) if request.ended]
    return done[3 * streams :]


def query_tokens_per_s(requests: list[Request]) -> float:
    return mean(request.output_tokens / (request.last_token_s - request.arrived_s) for request in requests)


def ttft_p95_s(requests: list[Request]) -> float:
    return quantiles([request.first_token_s - request.arrived_s for request in requests], n=20)[-1]


GPUS = ("a10", "l40s", "a100-80gb", "h100")


@pytest.mark.parametrize(
    ("name", "streams"),
    [
        *((f"{gpu}-llama-3.2-3b", streams) for gpu in GPUS for streams in (1, 8, 32, 128)),
        ("a10-llama-3.2-3b", 320),  # more than it has places
    ],
)
def test_the_formula_says_what_the_engine_does(name: str, streams: int) -> None:
    seen, said = closed_loop(PRESETS[name], streams), truth(PRESETS[name], ARTICLE, streams)
    assert said.query_tokens_per_s == pytest.approx(query_tokens_per_s(seen), rel=0.005)
    assert said.ttft_s == pytest.approx(ttft_p95_s(seen), rel=0.12)


@pytest.mark.parametrize("limit", [15, 25, 40])
def test_the_greatest_concurrency_is_where_the_engine_crosses_the_limit(limit: float) -> None:
    most = greatest_concurrency(A10, ARTICLE, query_tokens_per_s=limit)
    assert query_tokens_per_s(closed_loop(A10, round(0.97 * most))) > limit
    assert query_tokens_per_s(closed_loop(A10, round(1.03 * most) + 1)) < limit


def test_the_limit_of_the_first_token_is_met_until_streams_wait_for_a_place() -> None:
    most = greatest_concurrency(A10, ARTICLE, ttft_s=0.5)
    assert places(A10, ARTICLE) == 256
    assert 256 <= most < 275
    assert ttft_p95_s(closed_loop(A10, 250)) < 0.5 < ttft_p95_s(closed_loop(A10, 290))


def test_both_limits_hold_at_once() -> None:
    assert greatest_concurrency(A10, ARTICLE, query_tokens_per_s=15, ttft_s=0.1) == min(
        greatest_concurrency(A10, ARTICLE, query_tokens_per_s=15), greatest_concurrency(A10, ARTICLE, ttft_s=0.1)
    )


def test_a_limit_that_one_stream_does_not_meet_is_met_by_none() -> None:
    assert greatest_concurrency(A10, ARTICLE, query_tokens_per_s=100) == 0


def test_without_a_limit_there_is_no_end() -> None:
    assert greatest_concurrency(A10, ARTICLE) == MAX_STREAMS


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("max_num_seqs=10", 10), ("kv_capacity_tokens=10040", 40), ("max_num_batched_tokens=300", 100)],
)
def test_places_are_by_the_servers_limit_its_cache_and_the_tokens_of_a_step(setting: str, expected: int) -> None:
    assert places(with_settings(A10, [setting]), ARTICLE) == expected


def test_prompts_of_one_length_are_no_trouble() -> None:
    said = truth(A10, Lengths(200, 100, input_stddev=0), 1)
    assert said.ttft_s == pytest.approx(A10.base_s + A10.per_sequence_s + 200 * A10.per_prefill_token_s, rel=0.01)
