"""Labels of the two limits that plots draw as lines."""

from dataclasses import replace

from shapebench.analysis.wording import slo_label
from shapebench.spec.model import LIMITS


def query_label(tokens_per_s: float) -> str:
    """Label the limit of throughput per query, as "60 tokens/s per query"."""
    return slo_label(replace(LIMITS["query_tokens_per_s"], bound=tokens_per_s))


def ttft_label(seconds: float) -> str:
    """Label the limit of the time to first token, as "TTFT p95 ≤ 500 ms"."""
    return slo_label(replace(LIMITS["ttft_s"], bound=seconds))
