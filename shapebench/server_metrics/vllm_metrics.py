"""vLLM's /metrics under stable names, since vLLM's own differ between versions."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

Values = dict[tuple[str, str], float]  # by our name and a label: the finish reason, or a bucket's upper bound

# Our name, and vLLM's names for it, the newest first: the first that is present counts. Some versions had both.
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
SHARES = frozenset(("kv_cache_usage",))  # of several engines the maximum counts; of all else the sum
LABELS = ("le", "finished_reason")  # labels that distinguish values; engines and models are summed
STARTED, CONFIG = "process_start_time_seconds", "vllm:cache_config_info"
ITS_START = "its start"

_KNOWN = sorted({name for names in NAMES.values() for name in names} | {STARTED, CONFIG})
_PARTS = ("", "_total", "_bucket", "_sum", "_count")
_KNOWN_LINE = re.compile(rf"(?:{'|'.join(map(re.escape, _KNOWN))})(?:{'|'.join(_PARTS)})[{{ ]")
_IN_BLOCKS = re.compile(r"# HELP vllm:gpu_prefix_cache_\w+ .*blocks")  # of the first versions of V1: tokens are meant


def known_values(text: str) -> Values:
    """Parse the known metrics, histograms as `_bucket`, `_sum` and `_count`; raises ValueError for malformed lines.

    Values that are not finite are skipped.
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
    """Identify a server by its start time and its cache's settings."""
    fields: dict[str, str] = {}
    for sample in _samples(text):
        if sample.name == STARTED:
            fields[ITS_START] = f"{datetime.fromtimestamp(sample.value, UTC):%Y-%m-%d %H:%M:%S} UTC"
        elif sample.name == CONFIG:
            fields |= {name: value for name, value in sample.labels.items() if name != "engine"}
    return fields


def list_changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """List what changed in a server's identity, among the fields known both times."""
    both = sorted(before.keys() & now.keys())
    return [f"{name} was {before[name]} and is {now[name]}" for name in both if before[name] != now[name]]


def _samples(text: str) -> Iterable[Sample]:
    """Parse the lines of known metrics only: other lines may be malformed."""
    lines = [line for line in text.splitlines() if _KNOWN_LINE.match(line)]
    try:
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            yield from family.samples
    except IndexError as error:  # how the parser fails on a label without a name
        raise ValueError("a label has no name") from error


def _by_name(samples: Iterable[Sample]) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        label = next((sample.labels[name] for name in LABELS if name in sample.labels), "")
        found[sample.name][label].append(sample.value)
    return found
