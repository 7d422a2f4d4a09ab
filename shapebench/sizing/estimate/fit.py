"""Fit of a model on a shape, and the number of sequences that fit next to it."""

from collections.abc import Iterator
from dataclasses import dataclass

from shapebench.sizing.estimate.model import Model
from shapebench.sizing.shapes import Shape

BLOCK_TOKENS = 16  # vLLM hands out the KV cache in blocks


@dataclass(frozen=True)
class Serving:
    """Server options; the defaults are vLLM's, except for the reserved memory, which is empirical.

    `reserve_bytes`, on each GPU: activations, CUDA graphs, libraries. vLLM takes between 1.3 and 3 GB, and with large
    mixtures of experts up to 9.
    """

    tensor_parallel: int | None = None  # None: as many GPUs as the model can be divided among
    gpu_memory_utilization: float = 0.9
    reserve_bytes: float = 1.8e9


@dataclass(frozen=True)
class Fit:
    """A model on a shape: `replicas` of it, each on `tensor_parallel` GPUs; bytes are of one GPU."""

    tensor_parallel: int
    replicas: int
    weights_bytes: float
    cache_bytes: float
    cache_tokens: int  # that all replicas together can keep, of one sequence each that is within all windows
    sequences: int  # of the workload's length, in all replicas
    why_not: str | None

    @property
    def fits(self) -> bool:
        return self.why_not is None


def fit(model: Model, shape: Shape, serving: Serving, tokens: int) -> Fit:
    """Compute how many sequences of so many tokens fit, each at its full length."""
    devices = serving.tensor_parallel or _widest(model, shape.devices)
    replicas = max(shape.devices // devices, 1)
    weights_bytes = model.weights_bytes / devices
    usable = shape.memory_bytes * serving.gpu_memory_utilization - serving.reserve_bytes
    cache_bytes = max(usable - weights_bytes, 0)
    rounded = -(-tokens // BLOCK_TOKENS) * BLOCK_TOKENS
    sequences = int(cache_bytes // model.cache_bytes(rounded, devices))
    found = Fit(
        tensor_parallel=devices,
        replicas=replicas,
        weights_bytes=weights_bytes,
        cache_bytes=cache_bytes,
        cache_tokens=replicas * int(cache_bytes // model.cache_bytes_per_token(devices)),
        sequences=replicas * sequences,
        why_not=None,
    )
    why_not = next(_reasons(model, shape, found, tokens, usable), None)
    return Fit(**{**vars(found), "why_not": why_not})


def _widest(model: Model, devices: int) -> int:
    """Return the maximum number of devices that the model can be divided among; the rest serve further copies."""
    return next(n for n in range(devices, 0, -1) if devices % n == 0 and model.divides_by(n))


def _reasons(model: Model, shape: Shape, found: Fit, tokens: int, usable: float) -> Iterator[str]:
    devices = found.tensor_parallel
    if devices > shape.devices or shape.devices % devices:
        yield f"its {shape.devices} GPUs cannot be taken {devices} at a time"
    if not model.divides_by(devices):
        yield f"its attention heads do not divide by {devices}"
    if model.max_tokens and tokens > model.max_tokens:
        yield f"the model takes {model.max_tokens:,} tokens at most, not {tokens:,}"
    if found.weights_bytes > usable:
        need, room = found.weights_bytes / 1e9, max(usable, 0) / 1e9
        each = "" if shape.on_cpu else " on each GPU"
        yield f"the weights need {need:,.1f} GB{each}, and there is room for {room:,.1f}"
    if not found.sequences:
        yield f"no sequence of {tokens:,} tokens fits next to the weights"
