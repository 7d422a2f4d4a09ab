"""What sets a server's pace: a model on a machine, in few numbers."""

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import PositiveInt

from shapebench.errors import ShapebenchError
from shapebench.simulator.settings import Amount, Share, changed

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


# Llama 3.2 3B in bfloat16 on an NVIDIA A10 (24 GB, 600 GB/s, 125 TFLOP/s dense):
# - base: a step reads all the weights, 6.4 GB at 80 % of 600 GB/s: 13.4 ms.
# - sequence: reads its own KV cache and is sampled: 0.11 ms.
# - prefill token: 2 x 3.2e9 FLOP at about half of the peak: 0.1 ms.
# - KV cache: 24 GB x 0.9, less the weights and 1.8 GB for activations and CUDA graphs, is 13.4 GB; a token takes
#   28 layers x 8 heads x 128 x 2 (key, value) x 2 bytes = 114,688 bytes: 117,000 tokens.
# The article's 32 streams (200 tokens in, 100 out) then have steps of 13.4 + 32 x 0.11 + 0.32 new prompts x 20 ms
# = 23.3 ms, 43 tokens/s for each query.
_A10 = Preset(
    name="a10-llama-3.2-3b",
    model=LLAMA,
    max_model_len=8192,
    base_s=0.0134,
    per_sequence_s=0.00011,
    per_prefill_token_s=0.0001,
    kv_capacity_tokens=117_000,
)

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

PRESETS = {preset.name: preset for preset in (_A10, _FAST)}


def preset_named(name: str) -> Preset:
    """The preset of that name; raises ShapebenchError, with the names there are."""
    try:
        return PRESETS[name]
    except KeyError:
        raise ShapebenchError(f"There is no preset {name!r}", f"Choose one of: {', '.join(PRESETS)}.") from None


def with_settings(preset: Preset, words: Iterable[str]) -> Preset:
    """The preset with fields set by words such as `max_num_seqs=8`; raises ShapebenchError with all that is wrong."""
    return changed(preset, words, "setting")
