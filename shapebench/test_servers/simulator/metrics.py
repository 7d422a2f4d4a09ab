"""The server's /metrics: vLLM's names, labels and buckets."""

import time
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from shapebench.test_servers.simulator.engine import BLOCK_TOKENS, Engine, Request
from shapebench.test_servers.simulator.presets import Preset

_TTFT_S = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
    20,
    40,
    80,
    160,
    640,
    2560,
)
_TOKEN_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
_REQUEST_S = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
_FINISHED_REASONS = ("stop", "length", "abort", "error", "repetition")

_GAUGES: dict[str, tuple[str, Callable[[Engine], float]]] = {
    "num_requests_running": ("Number of requests in model execution batches.", lambda engine: len(engine.running)),
    "num_requests_waiting": ("Number of requests waiting to be processed.", lambda engine: len(engine.waiting)),
    "kv_cache_usage_perc": ("KV-cache usage. 1 means 100 percent usage.", lambda engine: engine.kv_usage),
}
_COUNTERS = {
    "prefix_cache_queries": "Prefix cache queries, in terms of number of queried tokens.",
    "prefix_cache_hits": "Prefix cache hits, in terms of number of cached tokens.",
    "num_preemptions": "Cumulative number of preemption from the engine.",
    "prompt_tokens": "Number of prefill tokens processed.",
    "generation_tokens": "Number of generation tokens processed.",
}
_HISTOGRAMS: dict[str, tuple[str, Sequence[float]]] = {
    "time_to_first_token_seconds": ("Histogram of time to first token in seconds.", _TTFT_S),
    "request_time_per_output_token_seconds": (
        "Histogram of time_per_output_token_seconds per request.",
        _TOKEN_S,
    ),
    "e2e_request_latency_seconds": ("Histogram of e2e request latency in seconds.", _REQUEST_S),
    "request_queue_time_seconds": ("Histogram of time spent in WAITING phase for request.", _REQUEST_S),
    "request_prefill_time_seconds": ("Histogram of time spent in PREFILL phase for request.", _REQUEST_S),
    "request_decode_time_seconds": ("Histogram of time spent in DECODE phase for request.", _REQUEST_S),
}
_INTER_TOKEN = ("vllm:inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", _TOKEN_S)
_CACHE_CONFIG = {
    "_block_size_resolved": "True",
    "cache_dtype": "auto",
    "cache_hit_alignment_tokens": "None",
    "enable_mamba_shared_prefix_checkpoint": "False",
    "enable_prefix_caching": "True",
    "engine": "0",
    "gpu_memory_utilization": "0.92",
    "hash_block_size": "None",
    "is_attention_free": "False",
    "kv_cache_dtype_skip_layers": "[]",
    "kv_cache_layout": "None",
    "kv_cache_memory_bytes": "None",
    "kv_offloading_backend": "native",
    "kv_offloading_size": "None",
    "kv_sharing_fast_prefill": "False",
    "mamba_block_size": "None",
    "mamba_cache_dtype": "auto",
    "mamba_cache_mode": "none",
    "mamba_page_size_padded": "None",
    "mamba_ssm_cache_dtype": "auto",
    "num_cpu_blocks": "None",
    "num_gpu_blocks_override": "None",
    "prefix_cache_retention_interval": "0",
    "prefix_caching_hash_algo": "sha256",
    "prefix_match_unit": "None",
    "replayssm_buffer_len": "16",
    "skip_page_size_padded": "None",
    "sliding_window": "None",
    "swa_bounded_replay": "True",
    "use_kda_recoverssm": "False",
    "use_replayssm": "False",
    "user_specified_block_size": "False",
}


class StepHistogram(Collector):
    """A histogram that takes many equal observations at once: all sequences of a step wait equally long."""

    def __init__(self, name: str, documentation: str, bounds: Sequence[float], labels: dict[str, str]) -> None:
        self._name, self._documentation, self._labels = name, documentation, labels
        self._bounds = [float(bound) for bound in bounds]
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._created_s = time.time()

    def observe(self, value: float, count: int) -> None:
        self._counts[bisect_left(self._bounds, value)] += count
        self._sum += value * count

    def collect(self) -> Iterable[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=list(self._labels))
        bounds = [*map(str, self._bounds), "+Inf"]
        cumulative = map(float, accumulate(self._counts))
        family.add_metric(list(self._labels.values()), list(zip(bounds, cumulative, strict=True)), self._sum)
        family.add_sample(f"{self._name}_created", self._labels, self._created_s)
        yield family


class Metrics:
    """The engine's counters, updated once a step and once a request, never once a token."""

    def __init__(self, engine: Engine) -> None:
        self._registry = CollectorRegistry()
        self._labels = {"engine": "0", "model_name": engine.preset.model}
        self._counters = {name: self._counter(name, text) for name, text in _COUNTERS.items()}
        self._histograms = {name: self._histogram(name, *of) for name, of in _HISTOGRAMS.items()}
        self._inter_token = StepHistogram(*_INTER_TOKEN, self._labels)
        self._registry.register(self._inter_token)
        self._finished = self._by_reason()
        self._watch(engine)

    def text(self) -> bytes:
        """Write the exposition format that Prometheus scrapes."""
        return generate_latest(self._registry)

    def on_step(self, stepped: Sequence[Request], preemptions: int) -> None:
        self._counters["generation_tokens"].inc(len(stepped))
        self._counters["num_preemptions"].inc(preemptions)
        for request in stepped:
            if request.generated == 1:
                self._on_first_token(request)
        for gap_s, count in Tally(r.gap_s for r in stepped if r.generated > 1).items():
            self._inter_token.observe(gap_s, count)

    def on_end(self, request: Request) -> None:
        """Count a request that is complete or was aborted; vLLM observes the times of complete ones only."""
        self._finished["abort" if request.aborted else request.finish_reason].inc()
        if not request.aborted:
            for name, seconds in _durations(request):
                self._histograms[name].observe(seconds)

    def _on_first_token(self, request: Request) -> None:
        self._histograms["time_to_first_token_seconds"].observe(self._ttft_s(request))
        self._counters["prompt_tokens"].inc(request.prompt_tokens)
        self._counters["prefix_cache_queries"].inc(request.prompt_tokens)
        self._counters["prefix_cache_hits"].inc(request.cached_tokens)

    def _ttft_s(self, request: Request) -> float:
        return request.first_token_s - request.arrived_s

    def _gauge(self, read: Callable[[Engine], float], engine: Engine) -> float:
        return read(self._seen(engine))

    def _seen(self, engine: Engine) -> Engine:
        return engine

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"vllm:{name}", text, list(self._labels), registry=self._registry).labels(**self._labels)

    def _histogram(self, name: str, text: str, bounds: Sequence[float]) -> Histogram:
        family = Histogram(f"vllm:{name}", text, list(self._labels), buckets=bounds, registry=self._registry)
        return family.labels(**self._labels)

    def _by_reason(self) -> dict[str, Counter]:
        labels = [*self._labels, "finished_reason"]
        text = "Count of successfully processed requests."
        family = Counter("vllm:request_success", text, labels, registry=self._registry)
        return {reason: family.labels(**self._labels, finished_reason=reason) for reason in _FINISHED_REASONS}

    def _watch(self, engine: Engine) -> None:
        for name, (text, read) in _GAUGES.items():
            family = Gauge(f"vllm:{name}", text, list(self._labels), registry=self._registry)
            family.labels(**self._labels).set_function(partial(self._gauge, read, engine))
        config = _cache_config(engine.preset)
        text = "Information of the LLMEngine CacheConfig"
        family = Gauge("vllm:cache_config_info", text, list(config), registry=self._registry)
        family.labels(**config).set(1)


def _durations(request: Request) -> Iterable[tuple[str, float]]:
    decode_s = request.last_token_s - request.first_token_s
    yield "e2e_request_latency_seconds", request.last_token_s - request.arrived_s
    yield "request_queue_time_seconds", request.admitted_s - request.arrived_s
    yield "request_prefill_time_seconds", request.first_token_s - request.admitted_s
    yield "request_decode_time_seconds", decode_s
    if request.output_tokens > 1:
        yield "request_time_per_output_token_seconds", decode_s / (request.output_tokens - 1)


def _cache_config(preset: Preset) -> dict[str, str]:
    blocks = preset.kv_capacity_tokens // BLOCK_TOKENS
    return _CACHE_CONFIG | {
        "block_size": str(BLOCK_TOKENS),
        "effective_attention_block_size": str(BLOCK_TOKENS),
        "num_gpu_blocks": str(blocks),
        "kv_cache_size_tokens": str(blocks * BLOCK_TOKENS),
        "kv_cache_max_concurrency": str(blocks * BLOCK_TOKENS / preset.max_model_len),
    }
