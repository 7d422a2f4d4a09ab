"""Families of models: from the fields of config.json to layers."""

from collections.abc import Callable
from dataclasses import dataclass

from shapebench.sizing.estimate.config import Config, ConfigError, Content, checked, read_config, text_part
from shapebench.sizing.estimate.model import Attention, Layer, Mlp, Model
from shapebench.sizing.estimate.quantisation import DTYPES, kv_cache_bytes, scheme

Windows = Callable[[Config], list[int | None]]


def _none(config: Config) -> list[int | None]:
    return [None] * config.num_hidden_layers


def _everywhere(config: Config) -> list[int | None]:
    return [config.sliding_window] * config.num_hidden_layers


def _every_other(config: Config) -> list[int | None]:
    return [config.sliding_window if layer % 2 == 0 else None for layer in range(config.num_hidden_layers)]


def _but_each_nth(config: Config) -> list[int | None]:
    nth = config.sliding_window_pattern or 6
    return [None if (layer + 1) % nth == 0 else config.sliding_window for layer in range(config.num_hidden_layers)]


def _where_used(config: Config) -> list[int | None]:
    first = config.max_window_layers or 0
    used = config.sliding_window if config.use_sliding_window else None
    return [used if layer >= first else None for layer in range(config.num_hidden_layers)]


@dataclass(frozen=True)
class Family:
    """The properties that config.json does not state; the defaults are Llama's."""

    tied: bool = False  # unless tie_word_embeddings says
    gated: bool = True  # an MLP of three matrices, not two
    norms: int = 2  # vectors of hidden_size in a layer
    norm_bias: bool = False
    head_norms: bool = False  # queries and keys are normed in each head
    query_bias: bool = False  # of queries, keys and values, unless attention_bias says
    output_bias: bool = False  # of attention, unless attention_bias says
    mlp_bias: bool = False
    head_bias: bool = False
    sinks: bool = False  # a number for each head
    expert_bias: bool = False
    router_bias: bool = False
    shared_gate: bool = False  # a vector that weighs the shared expert
    windows: Windows = _none


FAMILIES: dict[str, Family] = {
    "llama": Family(),
    "mistral": Family(windows=_everywhere),
    "mixtral": Family(windows=_everywhere),
    "qwen2": Family(query_bias=True, windows=_where_used),
    "qwen2_moe": Family(query_bias=True, shared_gate=True, windows=_where_used),
    "qwen3": Family(head_norms=True, windows=_where_used),
    "qwen3_moe": Family(head_norms=True, windows=_where_used),
    "gemma": Family(tied=True),
    "gemma2": Family(tied=True, norms=4, windows=_every_other),
    "gemma3_text": Family(tied=True, norms=4, head_norms=True, windows=_but_each_nth),
    "phi": Family(
        gated=False, norms=1, norm_bias=True, query_bias=True, output_bias=True, mlp_bias=True, head_bias=True
    ),
    "phi3": Family(windows=_everywhere),
    "starcoder2": Family(
        tied=True,
        gated=False,
        norm_bias=True,
        query_bias=True,
        output_bias=True,
        mlp_bias=True,
        windows=_everywhere,
    ),
    "granite": Family(),
    "smollm3": Family(tied=True),
    "gpt_oss": Family(
        query_bias=True, output_bias=True, sinks=True, expert_bias=True, router_bias=True, windows=_every_other
    ),
    "deepseek_v2": Family(),
    "deepseek_v3": Family(router_bias=True),
    "kimi_k2": Family(router_bias=True),
}


@dataclass(frozen=True)
class Served:
    """Server options that override config.json."""

    dtype: str = "auto"
    quantization: str | None = None
    kv_cache_dtype: str = "auto"


def model_from(name_or_path: str, served: Served | None = None) -> Model:
    """Build the model of a config.json, a folder, or a name; raises ConfigError."""
    name, content = read_config(name_or_path)
    return model_of(name, content, served or Served())


def model_of(name: str, content: Content, served: Served) -> Model:
    """Build the model that config.json's fields describe; raises ConfigError with all that is wrong."""
    text = text_part(content)
    config = checked(name, text)
    family = FAMILIES.get(config.model_type, Family())
    dtype, warnings = _dtype(config, served.dtype)
    quantised = {"quant_method": served.quantization} if served.quantization else None
    quantised = quantised or config.quantization_config or config.compression_config
    return Model(
        name=name,
        layers=_layers(name, config, family),
        hidden_size=config.hidden_size,
        vocab_size=config.vocab_size,
        tied=family.tied if config.tie_word_embeddings is None else config.tie_word_embeddings,
        scheme=scheme(quantised, dtype),
        kv_bytes=kv_cache_bytes(served.kv_cache_dtype, quantised, dtype),
        end_vectors=config.hidden_size * (1 + family.norm_bias) + family.head_bias * config.vocab_size,
        max_tokens=config.max_position_embeddings,
        warnings=(*warnings, *_warnings(config, text is not content)),
    )


def _dtype(config: Config, requested: str) -> tuple[str, list[str]]:
    declared = (config.torch_dtype or config.dtype or "bfloat16").removeprefix("torch.")
    dtype = declared if requested == "auto" else requested
    if dtype not in DTYPES:
        raise ConfigError(f"{dtype!r} is not a dtype for weights", f"Use auto, {', '.join(DTYPES)}.")
    if requested == "auto" and DTYPES[dtype] == "float32":
        return "float16", ["Its weights are float32, which vLLM serves as float16 unless told otherwise."]
    return DTYPES[dtype], []


def _warnings(config: Config, multimodal: bool) -> list[str]:
    warnings = []
    if config.model_type not in FAMILIES:
        warnings.append(
            f"Models of the type {config.model_type!r} are not known: it is counted as one built like Llama's. Compare "
            "the number of parameters with the published one."
        )
    if config.experts:
        warnings.append(
            "Tokens are assumed to choose their experts evenly: if they choose the same ones, fewer are read, and the "
            "bound for many in flight can be beaten."
        )
    if multimodal:
        warnings.append("Only its language model is counted, not what takes pictures or sound.")
    return warnings


def _layers(name: str, config: Config, family: Family) -> tuple[Layer, ...]:
    attention = _latent(config) if config.kv_lora_rank else _grouped_query(config, family)
    windows = _windows(config, family)
    norms = family.norms * config.hidden_size * (2 if family.norm_bias else 1)
    mlps = [
        _experts(config, family) if _is_sparse(config, at) else _dense(config, family) for at in range(len(windows))
    ]
    if None in mlps:
        raise ConfigError(f"The config.json of {name} has no intermediate_size", "Add it to the file.")
    return tuple(Layer(attention, mlp, norms, window) for mlp, window in zip(mlps, windows, strict=True) if mlp)


def _windows(config: Config, family: Family) -> list[int | None]:
    if config.layer_types and len(config.layer_types) == config.num_hidden_layers:
        return [config.sliding_window if kind == "sliding_attention" else None for kind in config.layer_types]
    return family.windows(config)


def _grouped_query(config: Config, family: Family) -> Attention:
    heads, hidden = config.num_attention_heads, config.hidden_size
    kv_heads, head_dim = config.num_key_value_heads or heads, config.head_dim or hidden // heads
    query_bias = family.query_bias if config.attention_bias is None else config.attention_bias
    output_bias = family.output_bias if config.attention_bias is None else config.attention_bias
    vectors = query_bias * (heads + 2 * kv_heads) * head_dim + output_bias * hidden
    return Attention(
        matrices=(2 * heads + 2 * kv_heads) * head_dim * hidden,
        vectors=vectors + family.head_norms * 2 * head_dim + family.sinks * heads,
        heads=heads,
        kv_heads=kv_heads,
        cached_values=2 * kv_heads * head_dim,
        prefill_pair_flops=4 * heads * head_dim,
        decode_pair_flops=4 * heads * head_dim,
    )


def _latent(config: Config) -> Attention:
    """Count DeepSeek's latent attention: keys and values of all heads come from one short vector, which is cached."""
    heads, hidden, latent = config.num_attention_heads, config.hidden_size, config.kv_lora_rank or 0
    rope, key, value = config.qk_rope_head_dim, config.qk_nope_head_dim, config.v_head_dim
    rank = config.q_lora_rank or 0
    query = (hidden + heads * (key + rope)) * rank if rank else hidden * heads * (key + rope)
    keys_and_values = hidden * (latent + rope) + latent * heads * (key + value)
    return Attention(
        matrices=query + keys_and_values + heads * value * hidden,
        vectors=rank + latent,
        heads=heads,
        kv_heads=0,
        cached_values=latent + rope,
        prefill_pair_flops=2 * heads * (key + rope + value),
        decode_pair_flops=2 * heads * (2 * latent + rope),
    )


def _is_sparse(config: Config, layer: int) -> bool:
    """Return whether a layer has experts."""
    return (
        config.experts > 0
        and layer >= config.first_k_dense_replace
        and layer not in config.mlp_only_layers
        and layer % config.moe_layer_freq == 0
        and (layer + 1) % (config.decoder_sparse_step or 1) == 0
    )


def _dense(config: Config, family: Family) -> Mlp | None:
    if config.intermediate_size is None:
        return None
    bias = family.mlp_bias if config.mlp_bias is None else config.mlp_bias
    ups = 2 if family.gated else 1
    return Mlp(
        matrices=(ups + 1) * config.hidden_size * config.intermediate_size,
        vectors=bias * (ups * config.intermediate_size + config.hidden_size),
    )


def _experts(config: Config, family: Family) -> Mlp | None:
    width, hidden = config.moe_intermediate_size or config.intermediate_size, config.hidden_size
    if width is None:
        return None
    shared = config.shared_expert_intermediate_size or (config.n_shared_experts or 0) * width
    return Mlp(
        matrices=3 * hidden * shared,
        vectors=family.router_bias * config.experts + (hidden if family.shared_gate and shared else 0),
        experts=config.experts,
        experts_per_token=config.num_experts_per_tok or config.experts_per_token or 1,
        expert_matrices=3 * hidden * width,
        expert_vectors=family.expert_bias * (2 * width + hidden),
        router=hidden * config.experts,
    )
