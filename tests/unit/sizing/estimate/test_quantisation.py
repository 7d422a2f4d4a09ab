"""How many bits a weight takes, by quantization_config."""

from typing import Any

import pytest

from shapebench.sizing.estimate.config import ConfigError
from shapebench.sizing.estimate.families import Served, model_from
from shapebench.sizing.estimate.quantisation import kv_cache_bytes, scheme


def tensors(bits: int, kind: str, activations: int | None = None, **weights: Any) -> dict[str, Any]:
    """What compressed-tensors writes."""
    group = {"weights": {"num_bits": bits, "type": kind, **weights}}
    if activations:
        group["input_activations"] = {"num_bits": activations}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}, "ignore": ["lm_head"]}


@pytest.mark.parametrize(
    ("content", "bits", "numbers"),
    [
        (None, 16, "bf16"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, 4 + 20 / 128, "bf16"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 32}, 4 + 20 / 32, "bf16"),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, 8, "bf16"),
        ({"quant_method": "fp8"}, 8, "fp8"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 8 + 32 / 128**2, "fp8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 4.5, "bf16"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True}, 4.127, "bf16"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, 8, "bf16"),
        ({"quant_method": "mxfp4"}, 4.25, "bf16"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, 4.5, "fp4"),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, 8, "fp8"),
        (tensors(8, "int", 8, strategy="channel"), 8, "int8"),
        (tensors(8, "float", 8, strategy="tensor"), 8, "fp8"),
        (tensors(4, "int", strategy="group", group_size=128), 4 + 16 / 128, "bf16"),
        (tensors(4, "int", strategy="group", group_size=128, symmetric=False), 4 + 20 / 128, "bf16"),
        (tensors(4, "float", 4, strategy="tensor_group", group_size=16), 4.5, "fp4"),
    ],
)
def test_a_weight_takes_its_bits_and_a_share_of_its_scale(content: Any, bits: float, numbers: str) -> None:
    found = scheme(content, "bfloat16")
    assert found.bits == pytest.approx(bits, rel=1e-3)
    assert found.numbers == numbers


@pytest.mark.parametrize("kind", ["embedding", "lm_head", "router", "vectors"])
def test_what_is_no_matrix_of_a_layer_keeps_the_dtype(kind: str) -> None:
    assert scheme({"quant_method": "awq"}, "bfloat16").bytes_of(kind) == 2


def test_a_head_that_is_quantised_as_well_is_counted_so() -> None:
    assert scheme({"quant_method": "gptq", "lm_head": True}, "bfloat16").bytes_of("lm_head") < 1


@pytest.mark.parametrize(
    ("left_alone", "covered"),
    [
        (["lm_head"], {"attention", "mlp", "experts"}),
        (["model.layers.*.self_attn", "model.layers.*.mlp.router"], {"mlp", "experts"}),
        (["re:.*self_attn$"], {"mlp", "experts"}),
        (["re:.*mlp.gate$"], {"attention", "mlp", "experts"}),
        (["model.layers.0.self_attn"], {"attention", "mlp", "experts"}),
        (["re:.*mlp$"], {"attention"}),
    ],
)
def test_kinds_that_are_left_alone_in_all_layers_keep_the_dtype(left_alone: list[str], covered: set[str]) -> None:
    assert scheme({"quant_method": "fp8", "ignored_layers": left_alone}, "bfloat16").covers == covered


def test_a_method_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"(?s)'hqq' is unknown.*awq, bitsandbytes"):
        scheme({"quant_method": "hqq"}, "bfloat16")


@pytest.mark.parametrize(
    ("asked", "content", "size"),
    [
        ("auto", None, 2),
        ("auto", {"kv_cache_scheme": {"num_bits": 8, "type": "float"}}, 1),
        ("fp8", None, 1),
        ("fp8_e5m2", None, 1),
        ("bfloat16", {"kv_cache_scheme": {"num_bits": 8}}, 2),
    ],
)
def test_a_number_in_the_cache_takes_what_was_asked_or_what_the_checkpoint_says(
    asked: str, content: Any, size: float
) -> None:
    assert kv_cache_bytes(asked, content, "float16") == size


def test_a_cache_dtype_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="not a dtype for KV caches"):
        kv_cache_bytes("tiny", None, "float16")


def test_a_dtype_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="not a dtype for weights"):
        model_from("Llama-3.1-8B", Served(dtype="int3"))


def test_a_model_can_be_taken_as_quantised_otherwise() -> None:
    plain, quantised = model_from("Llama-3.1-8B"), model_from("Llama-3.1-8B", Served(quantization="awq"))
    assert quantised.parameters == plain.parameters
    assert 0.34 < quantised.weights_bytes / plain.weights_bytes < 0.36
