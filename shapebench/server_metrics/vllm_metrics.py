"""A server's /metrics under names of our own: vLLM's have changed from version to version."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

Values = dict[tuple[str, str], float]  # by our name, and by the reason or bucket's upper bound where there are several

# Ours, and vLLM's for it: the newest first, of which the first that is there counts. Some versions had both.
NAMES: dict[str, tuple[str, ...]] = {
    "running_requests": ("vllm:num_requests_running",),
    "waiting_requests": ("vllm:num_requests_waiting",),
    "kv_cache_usage": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),  # until 0.10
    "preemptions": ("vllm:num_preemptions",),
    "prefix_cache_queried_tokens": ("vllm:prefix_cache_queries", "vllm:gpu_prefix_cache_queries"),
    "prefix_cache_hit_tokens": ("vllm:prefix_cache_hits", "vllm:gpu_prefix_cache_hits"),
    "prompt_tokens": ("vllm:prompt_tokens",),
    "generation_tokens": ("vllm:generation_tokens",),
    "finished_requests": ("vllm:request_success",),
    "ttft_s": ("vllm:time_to_first_token_seconds",),
    "inter_token_s": ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"),
    "e2e_s": ("vllm:e2e_request_latency_seconds",),
}
SHARES = frozenset(("kv_cache_usage",))  # of several engines the fullest counts; of all else the sum
LABELS = ("le", "finished_reason")  # those that tell values apart; engines and models are taken together
STARTED, CONFIG = "process_start_time_seconds", "vllm:cache_config_info"
ITS_START = "its start"

_KNOWN = sorted({name for names in NAMES.values() for name in names} | {STARTED, CONFIG})
_PARTS = ("", "_total", "_bucket", "_sum", "_count")
_KNOWN_LINE = re.compile(rf"(?:{'|'.join(map(re.escape, _KNOWN))})(?:{'|'.join(_PARTS)})[{{ ]")
_IN_BLOCKS = re.compile(r"# HELP vllm:gpu_prefix_cache_\w+ .*blocks")  # of the first versions of V1: tokens are meant


def known_values(text: str) -> Values:
    """What is known of it, a histogram as `_bucket`, `_sum` and `_count`; raises ValueError where it is broken.

    What is no number is left out.
    """
    found = _by_name(sample for sample in _samples(text) if math.isfinite(sample.value))
    values: Values = {}
    in_blocks = bool(_IN_BLOCKS.search(text))
    for ours, theirs in NAMES.items():
        if in_blocks and ours.startswith("prefix_cache"):
            continue
        name = next((name for name in theirs if any(name + part in found for part in _PARTS)), theirs[0])
        for part in _PARTS:
            whole = ours + part.replace("_total", "")
            for label, several in found.get(name + part, {}).items():
                values[whole, label] = max(several) if ours in SHARES else sum(several)
    return values


def identity(text: str) -> dict[str, str]:
    """What tells whether it is still the same server, configured in the same way: its start, its cache's settings."""
    said: dict[str, str] = {}
    for sample in _samples(text):
        if sample.name == STARTED:
            said[ITS_START] = f"{datetime.fromtimestamp(sample.value, UTC):%Y-%m-%d %H:%M:%S} UTC"
        elif sample.name == CONFIG:
            said |= {name: value for name, value in sample.labels.items() if name != "engine"}
    return said


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What a server says otherwise of itself, of all that it said both times."""
    both = sorted(before.keys() & now.keys())
    return [f"{name} was {before[name]} and is {now[name]}" for name in both if before[name] != now[name]]


def _samples(text: str) -> Iterable[Any]:
    """Those of known names: what others make of their lines does not matter."""
    lines = [line for line in text.splitlines() if _KNOWN_LINE.match(line)]
    try:
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            yield from family.samples
    except IndexError as error:  # so the parser trips over a label without a name
        raise ValueError("a label has no name") from error


def _by_name(samples: Iterable[Any]) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        label = next((sample.labels[name] for name in LABELS if name in sample.labels), "")
        found[sample.name][label].append(sample.value)
    return found
