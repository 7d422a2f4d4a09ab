"""The preset of the article's machine, in a closed loop without a clock."""

import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import mean, quantiles

import pytest

from shapebench.errors import ShapebenchError
from shapebench.sizing.catalogue.reading import VARIABLE, built_in_catalogue
from shapebench.sizing.estimate.families import model_from
from shapebench.sizing.shapes import single_gpu
from shapebench.test_servers.simulator.engine import Engine, Request
from shapebench.test_servers.simulator.presets import LLAMA, PRESETS, on_gpu, preset_named

LEVELS = (1, 2, 4, 8, 16, 32)


def closed_loop(streams: int, requests_per_stream: int = 30) -> list[Request]:
    """The article's requests, each stream sending its next when its last is answered; the first is not counted."""
    chance = random.Random(7)
    engine, now_s = Engine(PRESETS["a10-llama-3.2-3b"]), 0.0
    done: list[Request] = []
    for _ in range(streams):
        engine.add(article_request(chance), now_s)
    while len(done) < streams * (requests_per_stream + 1):
        now_s += engine.begin_step(now_s).duration_s
        for request in engine.end_step(now_s):
            if request.ended:
                done.append(request)
                engine.add(article_request(chance), now_s)
    return done[streams:]


def article_request(chance: random.Random) -> Request:
    return Request(max(1, round(chance.gauss(200, 40))), max(1, round(chance.gauss(100, 10))))


@pytest.fixture(scope="module")
def curve() -> dict[int, list[Request]]:
    return {streams: closed_loop(streams) for streams in LEVELS}


def test_at_32_streams_a_query_gets_a_little_over_40_tokens_a_second(curve: dict[int, list[Request]]) -> None:
    assert 41 < mean(r.output_tokens / (r.last_token_s - r.arrived_s) for r in curve[32]) < 45


def test_at_32_streams_the_first_token_comes_well_within_half_a_second(curve: dict[int, list[Request]]) -> None:
    ttft_s = [request.first_token_s - request.arrived_s for request in curve[32]]
    assert quantiles(ttft_s, n=20)[-1] < 0.4


def test_system_throughput_grows_with_every_level(curve: dict[int, list[Request]]) -> None:
    throughput = [system_tokens_per_s(curve[streams]) for streams in LEVELS]
    assert all(more > 1.2 * less for less, more in pairwise(throughput))


def system_tokens_per_s(requests: list[Request]) -> float:
    wall_s = max(r.last_token_s for r in requests) - min(r.arrived_s for r in requests)
    return sum(r.output_tokens for r in requests) / wall_s


def test_an_unknown_preset_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ShapebenchError, match=r"a10-llama-3\.2-3b, .*h100-llama-3\.2-3b, .*fast"):
        preset_named("h100")


def test_there_is_a_preset_for_each_gpu_of_the_catalogue_that_vllm_runs_on() -> None:
    gpus = {name.lower() for name in built_in_catalogue().gpus} - {"p100"}
    assert set(PRESETS) == {f"{gpu}-llama-3.2-3b" for gpu in gpus} | {"fast"}


def test_an_a10_is_as_it_was_written_out_by_hand() -> None:
    """6.4 GB of weights at 80% of 600 GB/s, 0.11 ms for a sequence, 0.1 ms for a prompt token, 13 GB of KV cache."""
    a10 = PRESETS["a10-llama-3.2-3b"]
    assert a10.base_s == pytest.approx(0.0134, rel=0.01)
    assert a10.per_sequence_s == pytest.approx(0.00011, rel=0.01)
    assert a10.per_prefill_token_s == pytest.approx(0.0001, rel=0.02)
    assert a10.kv_capacity_tokens == pytest.approx(117_000, rel=0.03)


def test_gpus_of_faster_memory_have_shorter_steps() -> None:
    steps = [PRESETS[f"{gpu}-llama-3.2-3b"].base_s for gpu in ("a10", "l40s", "a100-40gb", "a100-80gb", "h100", "h200")]
    assert sorted(steps, reverse=True) == steps


def test_a_catalogue_of_ones_own_changes_no_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.yaml").write_text("gpus:\n  A10: {memory_bandwidth_gb_per_s: 1}\n")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "own.yaml"))
    gpu = single_gpu("A10", built_in_catalogue())
    assert on_gpu("a10-llama-3.2-3b", model_from(LLAMA), gpu) == PRESETS["a10-llama-3.2-3b"]


def test_a_kv_cache_too_small_for_one_request_is_refused() -> None:
    with pytest.raises(ShapebenchError, match="cannot hold one request"):
        replace(PRESETS["fast"], kv_capacity_tokens=100)
