"""A model's config.json: from a file, a folder, or the models that the catalogue knows by name."""

import difflib
import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypedDict

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError
from pydantic_core import ErrorDetails

from shapebench.errors import ShapebenchError

Content = dict[str, Any]  # of config.json, as makers write it
REMEDY = "Give the path of the model's config.json, or of the folder that it lies in."


class KnownModel(TypedDict):
    """A model of the catalogue."""

    names: list[str]
    parameters: float
    config: Content


class ConfigError(ShapebenchError):
    """A model's config.json cannot be read, or is of a model that cannot be estimated."""


class Config(BaseModel):
    """The fields of config.json that are used; of several names for a field, the usual one comes first."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    model_type: str = Field(min_length=1)
    hidden_size: PositiveInt
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    vocab_size: PositiveInt
    intermediate_size: PositiveInt | None = None
    num_key_value_heads: PositiveInt | None = None
    head_dim: PositiveInt | None = None
    tie_word_embeddings: bool | None = None
    attention_bias: bool | None = None
    mlp_bias: bool | None = None
    max_position_embeddings: PositiveInt | None = None
    torch_dtype: str | None = None
    dtype: str | None = None
    quantization_config: Content | None = None
    compression_config: Content | None = None

    layer_types: tuple[str, ...] | None = None
    sliding_window: int | None = None
    use_sliding_window: bool | None = None
    max_window_layers: int | None = None
    sliding_window_pattern: PositiveInt | None = None

    num_local_experts: int | None = None
    num_experts: int | None = None
    n_routed_experts: int | None = None
    num_experts_per_tok: PositiveInt | None = None
    experts_per_token: PositiveInt | None = None
    moe_intermediate_size: PositiveInt | None = None
    n_shared_experts: int | None = None
    shared_expert_intermediate_size: int | None = None
    decoder_sparse_step: PositiveInt | None = None
    mlp_only_layers: tuple[int, ...] = ()
    first_k_dense_replace: int = 0
    moe_layer_freq: int = 1

    q_lora_rank: int | None = None
    kv_lora_rank: int | None = None
    qk_nope_head_dim: int = 0
    qk_rope_head_dim: int = 0
    v_head_dim: int = 0

    @property
    def experts(self) -> int:
        return self.num_local_experts or self.num_experts or self.n_routed_experts or 0


# Fields of models that keep a state of another kind than a KV cache in some of their layers.
STATE_FIELDS = (
    "mamba_d_state",
    "ssm_cfg",
    "state_size",
    "linear_num_value_heads",
    "hybrid_override_pattern",
    "conv_L_cache",
)
ATTENTION = ("full_attention", "sliding_attention")


def read_config(model: str) -> tuple[str, Content]:
    """Read a model's name and its config.json; raises ConfigError."""
    path = Path(model).expanduser()
    if path.exists():
        return _read(path / "config.json" if path.is_dir() else path)
    listed = {name: entry["config"] for entry in known_models() for name in entry["names"]}
    full = {key.lower(): name for name in listed for key in (name, name.rpartition("/")[2])}.get(model.lower())
    if full is None:
        alike = difflib.get_close_matches(model, listed, cutoff=0.5)
        hint = f" Is it one of {', '.join(alike)}?" if alike else ""
        raise ConfigError(f"{model!r} is neither a file nor a model in the catalogue.{hint}", REMEDY)
    return full, listed[full]


@cache
def known_models() -> list[KnownModel]:
    """Read the catalogue's models: `names`, published `parameters`, and `config`."""
    text = files("shapebench").joinpath("sizing", "catalogue", "models.yaml").read_text(encoding="utf-8")
    content: list[KnownModel] = yaml.safe_load(text)
    return content


def _read(path: Path) -> tuple[str, Content]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}", REMEDY) from None
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}", REMEDY) from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} has no fields", REMEDY)
    return path.resolve().parent.name, content


def text_part(content: Content) -> Content:
    """Return the language model's fields, if the model takes pictures or sound as well."""
    inner = content.get("text_config") or content.get("llm_config")
    if not isinstance(inner, dict):
        return content
    outer = {name: content[name] for name in ("torch_dtype", "dtype", "quantization_config") if name in content}
    return {**outer, **inner}


def checked(name: str, content: Content) -> Config:
    """Validate the fields that count; raises ConfigError with all that is wrong."""
    states = [field for field in STATE_FIELDS if content.get(field)]
    others = sorted({str(kind) for kind in content.get("layer_types") or () if kind not in ATTENTION})
    if states or others:
        raise ConfigError(
            f"{name} has layers without a KV cache ({', '.join([*states, *others])}), which cannot be estimated",
            "Measure the model instead.",
        )
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        wrong = [f"  {'.'.join(map(str, e['loc']))}: {_plain(e)}" for e in error.errors()]
        raise ConfigError(f"The config.json of {name} cannot be used:\n" + "\n".join(wrong), REMEDY) from None


def _plain(error: ErrorDetails) -> str:
    return "needed, but not given" if error["type"] == "missing" else str(error["msg"])
