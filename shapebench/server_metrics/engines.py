"""Names of the engines' metrics in one table: our name for a number, and each engine's names for the same number.

A name is here only where it means the same, in the same unit, as the other names in its row. Where an engine counts
something else (llama.cpp's prompt tokens leave out the cached ones), or something that only its mean tells (TGI's and
TensorRT-LLM's times per token are means of a request), the cell is missing, and so is the number.

A name may select by a label, as in PromQL: `nv_trt_llm_request_metrics{request_type="waiting"}`. Where versions differ,
the newest is the first; the first that is present counts, since some versions had both. A counter's `_total` is left
out.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

VLLM, SGLANG, TGI, TRTLLM, TRITON, LLAMA_CPP = ENGINES = (
    "vLLM",
    "SGLang",
    "TGI",
    "TensorRT-LLM",
    "Triton",
    "llama.cpp",
)
PARTS = ("_bucket", "_sum", "_count")  # of a histogram; the names of ours end in _s, for seconds


@dataclass(frozen=True)
class Series:
    """A metric's name, and labels that select among its series."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, selector: str) -> Self:
        name, _, rest = selector.partition("{")
        return cls(name, dict(re.findall(r'(\w+)="([^"]*)"', rest)))


def _row(**names: str) -> dict[str, tuple[Series, ...]]:
    """Make a row of the table; the names of several versions are separated by spaces."""
    engines = {"vllm": VLLM, "sglang": SGLANG, "tgi": TGI, "trtllm": TRTLLM, "triton": TRITON, "llama_cpp": LLAMA_CPP}
    return {engines[key]: tuple(map(Series.parse, value.split())) for key, value in names.items()}


GAUGES: dict[str, dict[str, tuple[Series, ...]]] = {
    "running_requests": _row(
        vllm="vllm:num_requests_running",
        sglang="sglang:num_running_reqs",
        tgi="tgi_batch_current_size",
        trtllm="trtllm_num_requests_running",
        triton='nv_trt_llm_request_metrics{request_type="scheduled"}',
        llama_cpp="llamacpp:requests_processing",
    ),
    "waiting_requests": _row(
        vllm="vllm:num_requests_waiting",
        sglang="sglang:num_queue_reqs",
        tgi="tgi_queue_size",
        trtllm="trtllm_num_requests_waiting",
        triton='nv_trt_llm_request_metrics{request_type="waiting"}',
        llama_cpp="llamacpp:requests_deferred",
    ),
    "kv_cache_usage": _row(  # a share, from 0 to 1
        vllm="vllm:kv_cache_usage_perc vllm:gpu_cache_usage_perc",  # until 0.10
        sglang="sglang:token_usage",
        trtllm="trtllm_kv_cache_utilization",
        triton='nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction"}',
        llama_cpp="llamacpp:kv_cache_usage_ratio",  # until 2025
    ),
}
COUNTERS: dict[str, dict[str, tuple[Series, ...]]] = {
    "finished_requests": _row(
        vllm="vllm:request_success",
        sglang="sglang:num_requests",
        tgi="tgi_request_success",
        trtllm="trtllm_request_success",
    ),
    "prompt_tokens": _row(  # cached ones included
        vllm="vllm:prompt_tokens",
        sglang="sglang:prompt_tokens",
        tgi="tgi_request_input_length_sum",
        trtllm="trtllm_prompt_tokens",
    ),
    "generation_tokens": _row(
        vllm="vllm:generation_tokens",
        sglang="sglang:generation_tokens",
        tgi="tgi_request_generated_tokens_sum",
        trtllm="trtllm_generation_tokens",
        llama_cpp="llamacpp:tokens_predicted",
    ),
    "preemptions": _row(
        vllm="vllm:num_preemptions",
        sglang="sglang:num_retracted_requests",
    ),
    "prefix_cache_queried_tokens": _row(
        vllm="vllm:prefix_cache_queries vllm:gpu_prefix_cache_queries",
        sglang="sglang:prompt_tokens",
        trtllm="trtllm_prompt_tokens",
    ),
    "prefix_cache_hit_tokens": _row(
        vllm="vllm:prefix_cache_hits vllm:gpu_prefix_cache_hits",
        sglang="sglang:cached_tokens",
        trtllm="trtllm_prompt_cached_tokens",
    ),
    "drafts": _row(  # steps of speculative decoding that verify a draft
        vllm="vllm:spec_decode_num_drafts",
        sglang="sglang:spec_verify_calls",
        trtllm='trtllm_spec_decode_drafted_tokens{token_position="0"}',
        llama_cpp="llamacpp:spec_decode_num_drafts",
    ),
    "draft_tokens": _row(
        vllm="vllm:spec_decode_num_draft_tokens",
        trtllm="trtllm_spec_decode_drafted_tokens",
        llama_cpp="llamacpp:spec_decode_num_draft_tokens",
    ),
    "accepted_draft_tokens": _row(  # without the token that each verification adds
        vllm="vllm:spec_decode_num_accepted_tokens",
        trtllm="trtllm_spec_decode_accepted_tokens",
        llama_cpp="llamacpp:spec_decode_num_accepted_tokens",
    ),
}
HISTOGRAMS: dict[str, dict[str, tuple[Series, ...]]] = {
    "ttft_s": _row(
        vllm="vllm:time_to_first_token_seconds",
        sglang="sglang:time_to_first_token_seconds",
        trtllm="trtllm_time_to_first_token_seconds",
    ),
    "inter_token_s": _row(  # each gap observed
        vllm="vllm:inter_token_latency_seconds vllm:time_per_output_token_seconds",
        sglang="sglang:inter_token_latency_seconds",
    ),
    "e2e_s": _row(
        vllm="vllm:e2e_request_latency_seconds",
        sglang="sglang:e2e_request_latency_seconds",
        tgi="tgi_request_duration",
        trtllm="trtllm_e2e_request_latency_seconds",
    ),
    "_decoding_s": _row(
        trtllm="trtllm_request_decode_time_seconds"
    ),  # of each request, from its first token to its last
}
NAMES = GAUGES | COUNTERS | HISTOGRAMS
SHARES = frozenset(("kv_cache_usage",))  # of several engines the maximum counts; of all else the sum
CONFIG = (
    "vllm:cache_config_info",
    "sglang:cache_config_info",
    "trtllm_model_config_info",
    "trtllm_parallel_config_info",
    "trtllm_speculative_config_info",
    "trtllm_kv_cache_config_info",
)

Totals = Mapping[str, float]  # of an engine's counters, over all labels


def _sglang(totals: Totals) -> dict[str, float]:
    """Compute what was accepted: each verification adds a token of its own, and prefill the first of each request."""
    own = totals["finished_requests"] + totals["drafts"]
    return {"accepted_draft_tokens": totals["generation_tokens"] - own} if totals["drafts"] else {}


def _trtllm(totals: Totals) -> dict[str, float]:
    """Compute the mean gap between tokens: a request of n tokens has n - 1 gaps between its first and its last."""
    gaps = totals["generation_tokens"] - totals["finished_requests"]
    return {"inter_token_s_sum": totals["_decoding_s_sum"], "inter_token_s_count": gaps}


# What an engine does not count itself, but what follows from what it counts; nothing where a counter is missing.
DERIVED: dict[str, Callable[[Totals], dict[str, float]]] = {SGLANG: _sglang, TRTLLM: _trtllm}
