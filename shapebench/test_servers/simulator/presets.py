"""Presets of the simulator: a model on a machine, described by a few numbers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import PositiveInt

from shapebench.errors import ShapebenchError
from shapebench.sizing.catalogue.reading import built_in_catalogue
from shapebench.sizing.estimate.bounds import numbers_on
from shapebench.sizing.estimate.families import Served, model_from
from shapebench.sizing.estimate.fit import Serving, fit
from shapebench.sizing.estimate.model import Model
from shapebench.sizing.shapes import Shape, single_gpu
from shapebench.test_servers.simulator.settings import Amount, Share, changed

LLAMA = "meta-llama/Llama-3.2-3B-Instruct"


@dataclass(frozen=True)
class Preset:
    """A server: a step takes `base_s`, plus `per_sequence_s` for each sequence and `per_prefill_token_s` for each
    prompt token computed in it."""

    name: str
    model: str
    max_model_len: PositiveInt
    base_s: Amount
    per_sequence_s: Amount
    per_prefill_token_s: Amount
    kv_capacity_tokens: PositiveInt
    max_num_seqs: PositiveInt = 256
    max_num_batched_tokens: PositiveInt = 2048
    adds_bos: bool = False  # one token before a prompt that is not a chat, unless add_special_tokens is false
    makes_up_s: Amount = 0.05  # of a delay of its own process, by steps without a pause in between
    empty_text_share: Share = 0.0  # of output tokens: half a character, or a special token, shows as no text

    def __post_init__(self) -> None:
        if self.kv_capacity_tokens <= self.max_model_len:
            raise ShapebenchError(
                f"{self.name}: a KV cache of {self.kv_capacity_tokens} tokens cannot hold one request of max_model_len="
                f"{self.max_model_len} tokens",
                "Lower max_model_len, or raise kv_capacity_tokens.",
            )


# What share of the peak a good engine reaches, and what it takes for itself. With these, one A10 behaves as the article
# found it: 32 streams of 200 + 100 tokens have steps of 13.4 (weights) + 32 x 0.11 + 0.32 new prompts x 20 ms
# = 23.4 ms, which is 43 tokens/s for each query.
BANDWIDTH_SHARE = 0.8
FLOPS_SHARE = 0.45
SAMPLING_S = 50e-6  # for each sequence, in each step
CONTEXT_TOKENS = 250  # of a sequence, on average, in the article's workload
MAX_MODEL_LEN = 8192
MIN_CAPABILITY = 7.0  # vLLM's


def on_gpu(name: str, model: Model, gpu: Shape) -> Preset:
    """Estimate how vLLM would serve a model on one GPU, by the formulas of estimate/ and the shares above."""
    numbers = numbers_on(gpu, model.scheme.numbers)
    assert numbers
    assert gpu.memory_bandwidth_bytes_per_s
    bytes_per_s, flops_per_s = gpu.memory_bandwidth_bytes_per_s * BANDWIDTH_SHARE, gpu.flops[numbers] * FLOPS_SHARE
    return Preset(
        name=name,
        model=model.name,
        max_model_len=MAX_MODEL_LEN,
        base_s=model.bytes_read(1) / bytes_per_s,
        per_sequence_s=SAMPLING_S + model.cache_bytes(CONTEXT_TOKENS) / bytes_per_s,
        per_prefill_token_s=model.prefill_flops(CONTEXT_TOKENS) / CONTEXT_TOKENS / flops_per_s,
        kv_capacity_tokens=fit(model, gpu, Serving(), MAX_MODEL_LEN).cache_tokens,
    )


def _on_each_gpu() -> Iterator[Preset]:
    """Make presets of Llama 3.2 3B on each GPU of the built-in catalogue that vLLM supports."""
    known = built_in_catalogue()
    for name, gpu in known.gpus.items():
        if gpu.compute_capability is None or gpu.compute_capability >= MIN_CAPABILITY:
            model = model_from(LLAMA, Served("auto" if "bf16" in gpu.dense_tflops else "half"))
            yield on_gpu(f"{name.lower()}-llama-3.2-3b", model, single_gpu(name, known))


# No real machine: steps far under a millisecond, so that a test takes a second, and room for 1,024 streams.
_FAST = Preset(
    name="fast",
    model=LLAMA,
    max_model_len=4096,
    base_s=0.0002,
    per_sequence_s=0.000001,
    per_prefill_token_s=0.0000001,
    kv_capacity_tokens=2_000_000,
    max_num_seqs=1024,
    max_num_batched_tokens=16_384,
)

PRESETS = {preset.name: preset for preset in (*_on_each_gpu(), _FAST)}


def preset_named(name: str) -> Preset:
    """Find a preset; raises ShapebenchError with the names there are."""
    try:
        return PRESETS[name]
    except KeyError:
        raise ShapebenchError(f"There is no preset {name!r}", f"Choose one of: {', '.join(PRESETS)}.") from None


def with_settings(preset: Preset, words: Iterable[str]) -> Preset:
    """Set fields of a preset by words such as `max_num_seqs=8`; raises ShapebenchError with all that is wrong."""
    return changed(preset, words, "setting")
