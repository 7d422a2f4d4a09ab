"""Quantisation: the bits of a weight, and the number format in which it is multiplied."""

from collections.abc import Callable
from dataclasses import dataclass

from shapebench.sizing.estimate.config import ConfigError, Content

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
NUMBERS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}  # what a data sheet calls them
DTYPES = {"half": "float16", "float": "float32", **{name: name for name in BYTES}}
MATRICES = frozenset({"attention", "mlp", "experts"})  # kinds of weights that are quantised unless it says otherwise
SCALE_BITS = 16


@dataclass(frozen=True)
class Scheme:
    """The storage of weights: `bits` of each, with its share of scales, for the kinds of weights in `covers`."""

    name: str
    dtype: str
    bits: float
    covers: frozenset[str]
    numbers: str  # that matrices are multiplied in, where the processor can

    def bytes_of(self, kind: str) -> float:
        return self.bits / 8 if kind in self.covers else BYTES[self.dtype]


Stored = tuple[str, float, str | None]  # a name, bits, numbers; None: the model's dtype
Read = Callable[[Content], Stored]


def _grouped(method: str) -> Read:
    """Read integers in groups, each with a scale and a zero point."""

    def read(content: Content) -> Stored:
        bits = int(content.get("bits") or content.get("w_bit") or 4)
        group = int(content.get("group_size") or content.get("q_group_size") or 128)
        overhead = (SCALE_BITS + bits) / group if group > 0 else 0
        return f"{method}, {bits} bits", bits + overhead, None

    return read


def _fp8(content: Content) -> Stored:
    block = content.get("weight_block_size")
    return "FP8", 8 + (32 / (block[0] * block[1]) if block else 0), "fp8"


def _bitsandbytes(content: Content) -> Stored:
    if content.get("load_in_8bit") or content.get("_load_in_8bit"):
        return "bitsandbytes, 8 bits", 8, None
    double = content.get("bnb_4bit_use_double_quant", False)
    return "bitsandbytes, 4 bits", 4 + (8 / 64 + 32 / (64 * 256) if double else 32 / 64), None


def _mxfp4(_: Content) -> Stored:
    return "MXFP4", 4 + 8 / 32, None


def _modelopt(content: Content) -> Stored:
    algorithm = str(content.get("quant_algo") or content.get("quantization", {}).get("quant_algo", "FP8"))
    return ("NVFP4", 4 + 8 / 16, "fp4") if "FP4" in algorithm.upper() else ("FP8", 8, "fp8")


def _compressed_tensors(content: Content) -> Stored:
    """Read the first group of config_groups: its weights, and whether activations are quantised like them."""
    groups = [group for group in (content.get("config_groups") or {}).values() if isinstance(group, dict)]
    group = groups[0] if groups else {}
    weights = group.get("weights") or {}
    bits, kind = weights.get("num_bits", 8), weights.get("type", "int")
    overhead = 0.0
    if size := weights.get("group_size"):
        scale_bits = 8 if (kind, bits) == ("float", 4) else SCALE_BITS
        zero_point_bits = 0 if weights.get("symmetric", True) else bits
        overhead = (scale_bits + zero_point_bits) / size if size > 0 else 0.0
    activations = group.get("input_activations") or {}
    numbers = None
    if activations.get("num_bits") == bits:
        numbers = f"fp{bits}" if kind == "float" else f"int{bits}"
    return f"compressed-tensors, {kind} of {bits} bits", bits + overhead, numbers


METHODS: dict[str, Read] = {
    "awq": _grouped("AWQ"),
    "gptq": _grouped("GPTQ"),
    "auto-round": _grouped("AutoRound"),
    "fp8": _fp8,
    "fbgemm_fp8": _fp8,
    "bitsandbytes": _bitsandbytes,
    "mxfp4": _mxfp4,
    "modelopt": _modelopt,
    "modelopt_fp4": _modelopt,
    "compressed-tensors": _compressed_tensors,
}


def scheme(content: Content | None, dtype: str) -> Scheme:
    """Read `quantization_config`, or plain weights where there is none; raises ConfigError."""
    if not content:
        return Scheme(dtype, dtype, BYTES[dtype] * 8, frozenset(), NUMBERS[dtype])
    method = str(content.get("quant_method", "")).lower()
    if method not in METHODS:
        raise ConfigError(f"The quantisation method {method!r} is unknown", f"Use one of {', '.join(sorted(METHODS))}.")
    name, bits, numbers = METHODS[method](content)
    return Scheme(name, dtype, bits, _covered(content), numbers or NUMBERS[dtype])


# Where a method lists what it leaves alone.
_LEFT_ALONE = ("modules_to_not_convert", "ignore", "ignored_layers", "exclude_modules", "llm_int8_skip_modules")
_KINDS = {"self_attn": {"attention"}, "attn": {"attention"}, "mlp": {"mlp", "experts"}, "experts": {"experts"}}


def _covered(content: Content) -> frozenset[str]:
    """Return the kinds of weights that are quantised; exceptions for single layers do not count."""
    listed = [str(name) for field in _LEFT_ALONE for name in content.get(field) or ()]
    ends = [
        name.removeprefix("re:").rstrip("$*.").rpartition(".")[2].lstrip("*")
        for name in listed
        if not _of_one_layer(name)
    ]
    left_alone = {kind for end in ends for kind in _KINDS.get(end, ())}
    with_head = {"lm_head"} if content.get("lm_head") is True else set()
    return (MATRICES | with_head) - left_alone


def _of_one_layer(name: str) -> bool:
    return any(part.isdigit() for part in name.split("."))


def kv_cache_bytes(requested: str, content: Content | None, dtype: str) -> float:
    """Return the bytes of a number in the KV cache; `auto`: the checkpoint's, else the model's. Raises ConfigError."""
    if requested == "auto":
        said = (content or {}).get("kv_cache_scheme") or {}
        return float(said.get("num_bits", 8 * BYTES[dtype])) / 8
    if requested.startswith("fp8"):
        return 1
    if requested in DTYPES:
        return BYTES[DTYPES[requested]]
    raise ConfigError(f"{requested!r} is not a dtype for KV caches", f"Use auto, fp8, {', '.join(DTYPES)}.")
