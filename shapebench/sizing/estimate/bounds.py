"""Bounds of a shape's speed with a model: the limits of memory bandwidth and FLOP/s only.

A step computes one more token of every running sequence. It reads all weights once, and each sequence's KV cache; with
a mixture of experts it reads the experts that its tokens choose. Communication between GPUs, kernels, sampling and
scheduling take additional time, which is ignored. Speculative decoding and cached prompts, which need fewer steps than
tokens, can beat the bound.
"""

from dataclasses import dataclass

from shapebench.sizing.estimate.fit import Fit
from shapebench.sizing.estimate.model import Model
from shapebench.sizing.shapes import Shape

# Number formats that replace a requested one, by the first that the processor supports.
INSTEAD = {
    "bf16": ("fp16", "fp32"),
    "fp16": ("bf16", "fp32"),
    "fp8": ("bf16", "fp16", "fp32"),
    "int8": ("bf16", "fp16", "fp32"),
    "fp4": ("fp8", "bf16", "fp16", "fp32"),
    "int4": ("bf16", "fp16", "fp32"),
    "fp32": (),
}
LIMITS = ("bandwidth", "FLOP/s")


@dataclass(frozen=True)
class Workload:
    """Mean lengths, and the number of requests in flight at all times."""

    input_tokens: int = 200
    output_tokens: int = 100
    concurrency: int = 32

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True)
class Bound:
    """No server is faster than this with so many requests in flight; `ttft_s` is of a request that does not wait."""

    concurrency: int
    running: int  # at once: no more than fit
    ttft_s: float
    inter_token_s: float
    query_tokens_per_s: float  # output tokens over the time from sending to the last token, as in the results
    system_tokens_per_s: float
    limited_by: str


@dataclass(frozen=True)
class Speed:
    """The speed of the devices that serve one copy of a model."""

    model: Model
    devices: int
    bytes_per_s: float  # of one device
    flops_per_s: float

    def cycle_s(self, running: float, workload: Workload) -> tuple[float, float]:
        """Return the time to serve all running sequences in full: by reading, by computing."""
        first, last = workload.input_tokens + 1, workload.tokens - 1
        cache = self.model.cache_bytes_read(first, last, self.devices)
        weights = workload.output_tokens * self.model.bytes_read(running) / self.devices
        flops = self.model.prefill_flops(workload.input_tokens) + self.model.decode_flops(first, last)
        return (weights + running * cache) / self.bytes_per_s, running * flops / self.devices / self.flops_per_s

    def step_s(self, running: float, context: int) -> float:
        """Return the time of one decoding step, without prompts."""
        read = self.model.bytes_read(running) / self.devices + running * self.model.cache_bytes(context, self.devices)
        flops = running * self.model.decode_flops(context, context) / self.devices
        return max(read / self.bytes_per_s, flops / self.flops_per_s)

    def prefill_s(self, tokens: int) -> float:
        """Return the time to prefill one prompt by itself."""
        read, flops = self.model.bytes_read(tokens) / self.devices, self.model.prefill_flops(tokens) / self.devices
        return max(read / self.bytes_per_s, flops / self.flops_per_s)


def bound(model: Model, shape: Shape, found: Fit, workload: Workload, concurrency: int) -> Bound | None:
    """Compute the bound; None if the model does not fit, or the shape's speeds are unknown."""
    numbers = numbers_on(shape, model.scheme.numbers)
    if not found.fits or numbers is None or shape.memory_bandwidth_bytes_per_s is None:
        return None
    speed = Speed(model, found.tensor_parallel, shape.memory_bandwidth_bytes_per_s, shape.flops[numbers])
    running = min(concurrency, found.sequences)
    busy = min(running, found.replicas)
    cycle_s = speed.cycle_s(running / busy, workload)
    system_tokens_per_s = running * workload.output_tokens / max(cycle_s)
    return Bound(
        concurrency=concurrency,
        running=running,
        ttft_s=speed.prefill_s(workload.input_tokens),
        inter_token_s=speed.step_s(running / busy, workload.input_tokens + workload.output_tokens // 2),
        query_tokens_per_s=system_tokens_per_s / concurrency,
        system_tokens_per_s=system_tokens_per_s,
        limited_by=LIMITS[cycle_s.index(max(cycle_s))],
    )


def numbers_on(shape: Shape, preferred: str) -> str | None:
    """Choose the number format that the shape multiplies in; None if its FLOP/s are unknown."""
    return next((numbers for numbers in (preferred, *INSTEAD[preferred]) if numbers in shape.flops), None)
