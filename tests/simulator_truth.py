"""What a preset can bear, by the engine's own numbers: the truth that a search for it is checked against.

A closed loop of N streams, to first order. Each answer takes as many steps as it has tokens, and a step takes the
preset's base, N times its time for a sequence, and the prompts that begin in it: of N streams, one in `output_tokens`
begins in each step. A first token takes a step with the request's own prompt in it. Streams that find no place wait
until there is one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom, norm

from shapebench.test_servers.simulator.presets import Preset

MAX_STREAMS = 10_000


@dataclass(frozen=True)
class Lengths:
    """Of each request, in tokens; prompts are of normally distributed lengths."""

    input_tokens: int = 200
    output_tokens: int = 100
    input_stddev: float = 40


@dataclass(frozen=True)
class Truth:
    """With so many streams: what each query gets, and its time to first token at a quantile."""

    concurrency: int
    query_tokens_per_s: float
    system_tokens_per_s: float
    ttft_s: float


def truth(preset: Preset, lengths: Lengths, concurrency: int, quantile: float = 0.95) -> Truth:
    """What a closed loop of so many streams sees."""
    running = min(concurrency, places(preset, lengths))
    prompt_tokens = running * lengths.input_tokens / lengths.output_tokens  # of an average step
    answer_s = lengths.output_tokens * _step_s(preset, running, prompt_tokens)
    waits_s = answer_s * (concurrency / running - 1)
    query_tokens_per_s = lengths.output_tokens / (waits_s + answer_s)
    return Truth(
        concurrency=concurrency,
        query_tokens_per_s=query_tokens_per_s,
        system_tokens_per_s=query_tokens_per_s * concurrency,
        ttft_s=waits_s + _step_s(preset, running, _prompt_tokens(lengths, running, quantile)),
    )


def greatest_concurrency(
    preset: Preset, lengths: Lengths, *, query_tokens_per_s: float = 0, ttft_s: float = float("inf")
) -> int:
    """The most streams at which each query gets at least so many tokens/s, and the 95th percentile of TTFT is no more
    than that; 0 where not even one stream has it, MAX_STREAMS where it never ends."""

    def meets(concurrency: int) -> bool:
        seen = truth(preset, lengths, concurrency)
        return seen.query_tokens_per_s >= query_tokens_per_s and seen.ttft_s <= ttft_s

    return _last(meets, MAX_STREAMS)


def places(preset: Preset, lengths: Lengths) -> int:
    """How many sequences run at once: by the server's limit, its KV cache, and the tokens of a step."""
    held = lengths.input_tokens + lengths.output_tokens // 2 + 1
    of_a_step = 1 + lengths.input_tokens / lengths.output_tokens
    return max(
        1,
        min(preset.max_num_seqs, preset.kv_capacity_tokens // held, int(preset.max_num_batched_tokens / of_a_step)),
    )


def _step_s(preset: Preset, sequences: int, prompt_tokens: float) -> float:
    return preset.base_s + preset.per_sequence_s * sequences + preset.per_prefill_token_s * prompt_tokens


def _prompt_tokens(lengths: Lengths, running: int, quantile: float) -> float:
    """At a quantile, of a step in which one prompt begins, and each other stream's by chance."""
    prompts = np.arange(1, running + 1)
    chances = binom.pmf(prompts - 1, running - 1, 1 / lengths.output_tokens)
    means, spreads = prompts * lengths.input_tokens, np.sqrt(prompts) * max(lengths.input_stddev, 0.5)

    def too_few(tokens: float) -> float:
        return float(chances @ norm.cdf((tokens - means) / spreads)) - quantile

    return float(brentq(too_few, 0, lengths.input_tokens * (running + 1) + 10 * spreads[-1]))


def _last(meets: Callable[[int], bool], most: int) -> int:
    """The greatest number up to `most` that meets what all smaller ones meet as well."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if meets(middle) else (low, middle - 1)
    return low
