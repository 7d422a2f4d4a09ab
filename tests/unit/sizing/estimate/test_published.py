"""Estimates against what others saw of vLLM: weights as it loaded them, its KV cache, and speeds.

Lines of vLLM's own log, from public repositories; docs/shapes.md tells of each.
"""

import pytest

from shapebench.sizing.estimate.bounds import Workload
from shapebench.sizing.estimate.config import read_config
from shapebench.sizing.estimate.estimating import estimate
from shapebench.sizing.estimate.families import Served, model_from, model_of
from shapebench.sizing.estimate.fit import Serving
from shapebench.sizing.shapes import known_shape

W8A8 = {
    "quant_method": "compressed-tensors",
    "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "int"}, "input_activations": {"num_bits": 8}}},
}


# "Model loading took … GiB": checkpoints of gpt-oss by OpenAI's model card.
@pytest.mark.parametrize(
    ("model", "gib"),
    [("Llama-3.2-3B-Instruct", 6.016), ("Llama-3.1-8B-Instruct", 14.99), ("gpt-oss-20b", 12.8), ("gpt-oss-120b", 60.8)],
)
def test_weights_are_as_large_as_was_seen(model: str, gib: float) -> None:
    assert model_from(model).weights_bytes / 2**30 == pytest.approx(gib, rel=0.006)


def test_the_70b_in_8_bits_is_as_large_as_was_seen() -> None:
    name, content = read_config("meta-llama/Llama-3.1-70B-Instruct")
    found = model_of(name, {**content, "quantization_config": W8A8}, Served())
    assert found.weights_bytes / 2**30 == pytest.approx(67.72, rel=0.002)


# "Available KV cache memory: … GiB", "GPU KV cache size: … tokens", and over how many GPUs.
@pytest.mark.parametrize(
    ("model", "gib", "tokens", "gpus"),
    [
        ("Llama-3.1-8B-Instruct", 19.28, 157_936, 1),
        ("Llama-3.1-8B-Instruct", 26.43, 216_512, 1),
        ("Llama-3.2-3B-Instruct", 6.22, 3637 * 16, 1),
        ("Qwen3-235B-A22B", 8.11, 178_880, 4),
    ],
)
def test_a_token_takes_as_much_of_the_cache_as_was_seen(model: str, gib: float, tokens: int, gpus: int) -> None:
    served = Served(dtype="half")  # as large as bfloat16
    assert model_from(model, served).cache_bytes_per_token(gpus) == pytest.approx(gib * 2**30 / tokens, rel=0.02)


def test_the_cache_of_an_8b_model_on_an_a100_of_40_gb_is_as_large_as_was_seen() -> None:
    """157,936 tokens, vLLM 0.15.1 on a2-highgpu-1g, without CUDA graphs."""
    found = estimate(
        model_from("Llama-3.1-8B-Instruct"), known_shape("BM.GPU4.8"), Workload(), Serving(tensor_parallel=1)
    )
    assert found.fit.cache_tokens / found.fit.replicas == pytest.approx(157_936, rel=0.04)


def test_what_the_article_measured_is_within_the_bound_and_over_half_of_what_it_allows() -> None:
    """32 streams of 200 + 100 tokens on an A10: over 40 tokens/s for each, TTFT under 500 ms."""
    found = estimate(model_from("meta-llama/Llama-3.2-3B-Instruct"), known_shape("VM.GPU.A10.1"), Workload(), Serving())
    assert found.loaded
    assert 40 < found.loaded.query_tokens_per_s < 2.1 * 40
    assert found.loaded.ttft_s < 0.5


def test_what_an_a100_was_seen_to_decode_is_within_the_bound() -> None:
    """39.06 tokens/s of the same log, a single query without CUDA graphs."""
    found = estimate(
        model_from("Llama-3.1-8B-Instruct"),
        known_shape("BM.GPU4.8"),
        Workload(input_tokens=20, output_tokens=1024),
        Serving(tensor_parallel=1),
    )
    assert found.single
    assert 39.06 < found.single.query_tokens_per_s < 110


def test_oracles_table_of_the_70b_is_within_the_bound_of_eight_h100_at_every_level() -> None:
    """OCI Generative AI, Llama 3.3 70B on a dedicated cluster, whose GPUs are not stated; 480 + 300 tokens."""
    model, shape = model_from("Llama-3.3-70B-Instruct"), known_shape("BM.GPU.H100.8")
    table = {1: 58.64, 8: 54.74, 32: 44.32, 64: 35.74, 128: 25.60, 256: 15.27}
    for concurrency, query_tokens_per_s in table.items():
        found = estimate(model, shape, Workload(480, 300, concurrency), Serving())
        assert found.loaded
        assert query_tokens_per_s < found.loaded.query_tokens_per_s
