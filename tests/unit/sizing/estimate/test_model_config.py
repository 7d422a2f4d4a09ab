"""From a config.json to a model: parameters and memory, held against what is published."""

import json
from pathlib import Path
from typing import Any

import pytest

from shapebench.sizing.estimate.config import ConfigError, known_models
from shapebench.sizing.estimate.families import Served, model_from, model_of
from shapebench.sizing.estimate.model import Model

LLAMA_3B = {
    "model_type": "llama",
    "torch_dtype": "bfloat16",
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128256,
    "tie_word_embeddings": True,
    "max_position_embeddings": 131072,
}
LISTED = {name: entry["parameters"] for entry in known_models() for name in entry["names"]}


def model(**changes: Any) -> Model:
    return model_of("a model", {**LLAMA_3B, **changes}, Served())


@pytest.mark.parametrize("name", LISTED)
def test_a_known_model_has_the_published_number_of_parameters(name: str) -> None:
    assert model_from(name).parameters == LISTED[name]


# As model cards put it, in billions: in all, and for each token. OpenAI leaves the embedding out of the latter.
@pytest.mark.parametrize(
    ("name", "parameters", "active"),
    [
        ("Llama-3.2-3B-Instruct", 3.21, 3.21),
        ("Llama-3.1-8B-Instruct", 8.03, 8.03),
        ("Llama-3.3-70B-Instruct", 70.6, 70.6),
        ("Mixtral-8x7B-v0.1", 46.7, 12.9),
        ("Qwen2.5-7B", 7.62, 7.62),
        ("Qwen3-30B-A3B", 30.5, 3.3),
        ("Qwen3-235B-A22B", 235, 22),
        ("DeepSeek-V3", 671, 37),
        ("gpt-oss-20b", 20.9, 3.6 + 201088 * 2880 / 1e9),
        ("gpt-oss-120b", 116.8, 5.1 + 201088 * 2880 / 1e9),
    ],
)
def test_the_model_cards_numbers_come_out(name: str, parameters: float, active: float) -> None:
    found = model_from(name)
    assert found.parameters / 1e9 == pytest.approx(parameters, rel=0.002)
    assert found.active_parameters / 1e9 == pytest.approx(active, rel=0.02)


# Families that the catalogue has no model of; what the models of Hugging Face's transformers 5 count.
COUNTED: list[tuple[str, int, dict[str, Any]]] = [
    ("Qwen1.5-MoE-A2.7B", 14_315_784_192, {
        "model_type": "qwen2_moe", "hidden_size": 2048, "intermediate_size": 5632, "moe_intermediate_size": 1408,
        "shared_expert_intermediate_size": 5632, "num_hidden_layers": 24, "num_attention_heads": 16,
        "num_key_value_heads": 16, "num_experts": 60, "num_experts_per_tok": 4, "decoder_sparse_step": 1,
        "vocab_size": 151936, "tie_word_embeddings": False}),
    ("DeepSeek-V2-Lite", 15_706_484_224, {
        "model_type": "deepseek_v2", "hidden_size": 2048, "intermediate_size": 10944, "moe_intermediate_size": 1408,
        "num_hidden_layers": 27, "num_attention_heads": 16, "num_key_value_heads": 16, "q_lora_rank": None,
        "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1,
        "vocab_size": 102400, "tie_word_embeddings": False}),
    ("phi-2", 2_779_683_840, {
        "model_type": "phi", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 32,
        "num_attention_heads": 32, "vocab_size": 51200, "tie_word_embeddings": False}),
    ("starcoder2-3b", 3_030_371_328, {
        "model_type": "starcoder2", "hidden_size": 3072, "intermediate_size": 12288, "num_hidden_layers": 30,
        "num_attention_heads": 24, "num_key_value_heads": 2, "vocab_size": 49152, "sliding_window": 4096}),
    ("gemma-7b", 8_537_680_896, {
        "model_type": "gemma", "hidden_size": 3072, "intermediate_size": 24576, "num_hidden_layers": 28,
        "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 256, "vocab_size": 256000}),
    ("gemma-3-1b", 999_885_952, {
        "model_type": "gemma3_text", "hidden_size": 1152, "intermediate_size": 6912, "num_hidden_layers": 26,
        "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 262144,
        "sliding_window": 512, "sliding_window_pattern": 6}),
    ("SmolLM3-3B", 3_075_098_624, {
        "model_type": "smollm3", "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
        "num_attention_heads": 16, "num_key_value_heads": 4, "vocab_size": 128256}),
    ("granite-3.1-8b", 8_170_848_256, {
        "model_type": "granite", "hidden_size": 4096, "intermediate_size": 12800, "num_hidden_layers": 40,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 49155, "tie_word_embeddings": True}),
    ("Llama with biases", 37_739_520, {
        "model_type": "llama", "hidden_size": 1024, "intermediate_size": 2048, "num_hidden_layers": 4,
        "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 1000, "attention_bias": True,
        "mlp_bias": True}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "parameters", "config"), COUNTED, ids=[name for name, *_ in COUNTED])
def test_each_family_is_counted_as_transformers_counts_it(name: str, parameters: int, config: dict[str, Any]) -> None:
    assert model_of(name, config, Served()).parameters == parameters


@pytest.mark.parametrize(
    ("name", "bytes_per_token"),
    [
        ("Llama-3.2-3B", 2 * 28 * 8 * 128 * 2),
        ("Llama-3.1-8B", 131_072),
        ("Qwen2.5-7B", 57_344),
        ("SmolLM2-135M", 2 * 30 * 3 * 64 * 2),
        ("DeepSeek-V3", (512 + 64) * 61 * 2),
    ],
)
def test_a_token_takes_so_much_of_the_cache(name: str, bytes_per_token: int) -> None:
    assert model_from(name).cache_bytes_per_token() == bytes_per_token


def test_gpus_share_the_heads_of_the_cache() -> None:
    assert model_from("Llama-3.1-8B").cache_bytes_per_token(4) == 131_072 / 4


def test_heads_are_copied_where_there_are_more_gpus_than_heads() -> None:
    assert model_from("Qwen3-30B-A3B").cache_bytes_per_token(8) == model_from("Qwen3-30B-A3B").cache_bytes_per_token(4)


def test_every_gpu_keeps_the_whole_cache_of_latent_attention() -> None:
    deepseek = model_from("DeepSeek-V3")
    assert deepseek.cache_bytes_per_token(8) == deepseek.cache_bytes_per_token()


def test_a_cache_in_fp8_is_half_as_large() -> None:
    assert model_from("Llama-3.1-8B", Served(kv_cache_dtype="fp8")).cache_bytes_per_token() == 131_072 / 2


def test_beyond_its_window_a_sequence_keeps_no_more() -> None:
    mistral = model_from("Mistral-7B-v0.1")
    assert mistral.cache_bytes(10_000) == mistral.cache_bytes(4096) == 4096 * 131_072


@pytest.mark.parametrize("name", ["gemma-2-9b", "gpt-oss-20b"])
def test_where_every_other_layer_has_a_window_the_others_keep_all(name: str) -> None:
    found = model_from(name)
    window = found.layers[0].window
    assert window
    assert found.cache_bytes(3 * window) == (1 + 3) / 2 * found.cache_bytes(window)


@pytest.mark.parametrize(
    ("fields", "windows"),
    [
        ({"sliding_window": 100}, [None] * 4),
        ({"model_type": "mistral", "sliding_window": 100}, [100] * 4),
        ({"model_type": "mistral", "sliding_window": None}, [None] * 4),
        ({"model_type": "qwen2", "sliding_window": 100, "use_sliding_window": False}, [None] * 4),
        (
            {"model_type": "qwen2", "sliding_window": 100, "use_sliding_window": True, "max_window_layers": 1},
            [None, 100, 100, 100],
        ),
        ({"model_type": "gemma3_text", "sliding_window": 100, "sliding_window_pattern": 2}, [100, None] * 2),
        (
            {"sliding_window": 100, "layer_types": ["full_attention", "sliding_attention"] * 2},
            [None, 100] * 2,
        ),
    ],
)
def test_layers_have_the_windows_that_the_family_gives_them(fields: dict[str, Any], windows: list[int | None]) -> None:
    assert [layer.window for layer in model(num_hidden_layers=4, **fields).layers] == windows


@pytest.mark.parametrize(
    ("first", "last", "window", "total"), [(1, 4, None, 10), (1, 4, 2, 7), (3, 4, 2, 4), (3, 4, 9, 7), (5, 4, 2, 0)]
)
def test_what_a_growing_sequence_reads_adds_up(first: int, last: int, window: int | None, total: int) -> None:
    grown = model(model_type="mistral", num_hidden_layers=1, sliding_window=window)
    assert grown.cache_bytes_read(first, last) == total * grown.cache_bytes_per_token()


def test_a_step_reads_the_head_but_of_the_embedding_only_rows() -> None:
    untied, tied = model(tie_word_embeddings=False), model(tie_word_embeddings=True)
    assert untied.parameters - tied.parameters == 128256 * 3072
    assert untied.bytes_read(1) == tied.bytes_read(1) == tied.weights_bytes


def test_one_token_meets_the_experts_that_it_chooses_and_many_meet_all() -> None:
    mixtral = model_from("Mixtral-8x7B-v0.1")
    embedding = 2 * 32000 * 4096
    assert mixtral.bytes_read(1) == pytest.approx(2 * mixtral.active_parameters - embedding)
    assert mixtral.bytes_read(1000) == pytest.approx(mixtral.weights_bytes - embedding)
    assert mixtral.bytes_read(1) < mixtral.bytes_read(2) < mixtral.bytes_read(8)


def test_two_tokens_share_experts_by_chance() -> None:
    mlp = model_from("Mixtral-8x7B-v0.1").layers[0].mlp
    assert mlp.experts_touched(2) == pytest.approx(8 * (1 - (6 / 8) ** 2))


def test_a_token_is_two_flop_for_each_parameter_that_it_meets() -> None:
    found = model_from("Llama-3.1-8B")
    embedding = 128256 * 4096
    attention = 32 * 4 * 32 * 128  # in each layer, four FLOP for each head's number
    expected = 2 * (found.parameters - embedding) + attention
    assert found.decode_flops(1, 1) == pytest.approx(expected, rel=1e-4)


def test_a_prompt_computes_the_head_once() -> None:
    found = model_from("Llama-3.2-3B")
    without_head = 2 * (found.parameters - 128256 * 3072)
    assert found.prefill_flops(1000) == pytest.approx(1000 * without_head + 28 * 4 * 24 * 128 * 500_500, rel=1e-3)


def test_a_file_a_folder_and_a_name_are_the_same_model(tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA_3B))
    named = model_from("meta-llama/llama-3.2-3b")
    for path in (folder, folder / "config.json"):
        found = model_from(str(path))
        assert (found.name, found.layers) == ("my-model", named.layers)
    assert named.name == "meta-llama/Llama-3.2-3B"


def test_of_a_model_that_takes_pictures_the_text_part_is_counted() -> None:
    found = model_of("one that sees", {"model_type": "llava", "text_config": LLAMA_3B}, Served())
    assert found.parameters == 3_212_749_824
    assert any("pictures" in warning for warning in found.warnings)


def test_a_family_that_is_not_known_is_counted_with_a_doubt() -> None:
    found = model(model_type="brand_new")
    assert found.parameters == 3_212_749_824
    assert any("brand_new" in warning for warning in found.warnings)


def test_float32_is_served_as_float16_with_a_doubt() -> None:
    found = model(torch_dtype="float32")
    assert found.scheme.dtype == "float16"
    assert any("float32" in warning for warning in found.warnings)


def test_the_dtype_that_is_asked_for_is_taken() -> None:
    assert model_of("m", LLAMA_3B, Served(dtype="float32")).weights_bytes == 4 * 3_212_749_824


def test_newer_files_call_it_dtype() -> None:
    content = {name: value for name, value in LLAMA_3B.items() if name != "torch_dtype"}
    assert model_of("m", {**content, "dtype": "float16"}, Served()).scheme.dtype == "float16"


def test_all_fields_that_are_missing_or_wrong_are_named_at_once() -> None:
    content = {**LLAMA_3B, "num_hidden_layers": 0}
    del content["vocab_size"], content["hidden_size"]
    with pytest.raises(ConfigError) as raised:
        model_of("a model", content, Served())
    for part in ("vocab_size: needed", "hidden_size: needed", "num_hidden_layers: Input should be greater than 0"):
        assert part in str(raised.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"mamba_d_state": 16},
        {"layer_types": ["linear_attention", "full_attention"]},
        {"hybrid_override_pattern": "M-M*"},
    ],
)
def test_a_model_that_keeps_another_state_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="layers without a KV cache"):
        model(**fields)


def test_a_model_without_a_width_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no intermediate_size"):
        model(intermediate_size=None)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("meta-llama/Llama-9-3B", "Is it one of .*Llama.*"),
        ("nobody/knows-it", "neither a file nor a model"),
    ],
)
def test_a_name_that_is_not_known_is_refused_with_the_way_out(name: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s){problem}.*config\.json"):
        model_from(name)


@pytest.mark.parametrize(("content", "problem"), [("{", "is not JSON"), ("[]", "has no fields")])
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=problem):
        model_from(str(tmp_path))


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Cannot read"):
        model_from(str(tmp_path))
