"""A model by the numbers that determine memory and speed."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from shapebench.sizing.estimate.quantisation import Scheme

MULTIPLY_ADD = 2  # FLOP
Weights = dict[str, float]  # how many numbers there are, by kind: shares of experts make them fractions


@dataclass(frozen=True)
class Attention:
    """The attention of one layer; GPUs share the cache by `kv_heads`: 0 if each stores all of it (latent attention).

    `prefill_pair_flops` and `decode_pair_flops` are of one token that looks back at one other.
    """

    matrices: int
    vectors: int
    heads: int
    kv_heads: int
    cached_values: int  # numbers that a token leaves in the cache
    prefill_pair_flops: int
    decode_pair_flops: int

    def cached_values_on_each(self, devices: int) -> float:
        """Return the numbers on each device; heads are copied where there are fewer of them than devices."""
        return self.cached_values / min(devices, self.kv_heads) if self.kv_heads else self.cached_values


@dataclass(frozen=True)
class Mlp:
    """The MLP of one layer: a part for every token, and experts of which each token uses some."""

    matrices: int = 0
    vectors: int = 0
    experts: int = 0
    experts_per_token: int = 0
    expert_matrices: int = 0
    expert_vectors: int = 0
    router: int = 0

    def experts_touched(self, tokens: float) -> float:
        """Return how many experts a step of so many tokens uses, if each token chooses evenly and independently."""
        return self.experts * (1 - (1 - self.experts_per_token / self.experts) ** tokens) if self.experts else 0


@dataclass(frozen=True)
class Layer:
    attention: Attention
    mlp: Mlp
    norms: int
    window: int | None = None  # of how many latest tokens it keeps the cache

    def weights(self, experts: float) -> Weights:
        """Count the weights of the layer, with so many of its experts."""
        mlp = self.mlp
        return {
            "attention": self.attention.matrices,
            "mlp": mlp.matrices,
            "experts": experts * mlp.expert_matrices,
            "router": mlp.router,
            "vectors": self.attention.vectors + mlp.vectors + self.norms + experts * mlp.expert_vectors,
        }


@dataclass(frozen=True)
class Model:
    """A decoder of layers, with an embedding before them and a head after them, which may be one matrix."""

    name: str
    layers: tuple[Layer, ...]
    hidden_size: int
    vocab_size: int
    tied: bool
    scheme: Scheme
    kv_bytes: float  # of one number in the cache
    end_vectors: int = 0  # norms and biases after the layers
    max_tokens: int | None = None
    warnings: tuple[str, ...] = ()

    @cached_property
    def weights(self) -> Weights:
        """All weights."""
        table = self.vocab_size * self.hidden_size
        ends: Weights = {"embedding": table, "lm_head": 0 if self.tied else table, "vectors": self.end_vectors}
        return _added([ends, *(layer.weights(layer.mlp.experts) for layer in self.layers)])

    @property
    def parameters(self) -> int:
        return round(sum(self.weights.values()))

    @cached_property
    def active_parameters(self) -> int:
        """The parameters that a token uses."""
        idle = sum(
            (layer.mlp.experts - layer.mlp.experts_per_token) * (layer.mlp.expert_matrices + layer.mlp.expert_vectors)
            for layer in self.layers
        )
        return self.parameters - idle

    @cached_property
    def weights_bytes(self) -> float:
        return self._bytes(self.weights)

    def bytes_read(self, tokens: float) -> float:
        """Return the bytes that a step of so many tokens reads: all matrices once, of experts those that are used.

        Of the embedding only rows are read, unless it is the head as well.
        """
        head = "embedding" if self.tied else "lm_head"
        ends: Weights = {head: self.weights[head], "vectors": self.end_vectors}
        touched = [layer.weights(layer.mlp.experts_touched(tokens)) for layer in self.layers]
        return self._bytes(_added([ends, *touched]))

    def _bytes(self, weights: Weights) -> float:
        return sum(count * self.scheme.bytes_of(kind) for kind, count in weights.items())

    def cache_bytes_per_token(self, devices: int = 1) -> float:
        """Return the cache of a token within all windows, on each device."""
        return self.kv_bytes * sum(layer.attention.cached_values_on_each(devices) for layer in self.layers)

    def cache_bytes(self, tokens: int, devices: int = 1) -> float:
        """Return the cache of a sequence of so many tokens, on each device."""
        return self.kv_bytes * sum(
            layer.attention.cached_values_on_each(devices) * min(tokens, layer.window or tokens)
            for layer in self.layers
        )

    def cache_bytes_read(self, first: int, last: int, devices: int = 1) -> float:
        """Return the cache read on each device by a sequence that grows from `first` to `last` tokens, a step each."""
        return self.kv_bytes * sum(
            layer.attention.cached_values_on_each(devices) * _kept(first, last, layer.window) for layer in self.layers
        )

    @cached_property
    def _flops_per_token(self) -> float:
        """FLOP of the layers' matrices; attention and the head come on top."""
        return MULTIPLY_ADD * sum(
            layer.attention.matrices
            + layer.mlp.matrices
            + layer.mlp.router
            + layer.mlp.experts_per_token * layer.mlp.expert_matrices
            for layer in self.layers
        )

    @property
    def _head_flops(self) -> int:
        return MULTIPLY_ADD * self.vocab_size * self.hidden_size

    def prefill_flops(self, tokens: int) -> float:
        """Return the FLOP of a prompt; the head is computed for its last token only."""
        pairs = sum(layer.attention.prefill_pair_flops * _kept(1, tokens, layer.window) for layer in self.layers)
        return tokens * self._flops_per_token + pairs + self._head_flops

    def decode_flops(self, first: int, last: int) -> float:
        """Return the FLOP of a sequence that grows from `first` to `last` tokens, one at a time."""
        pairs = sum(layer.attention.decode_pair_flops * _kept(first, last, layer.window) for layer in self.layers)
        return max(last - first + 1, 0) * (self._flops_per_token + self._head_flops) + pairs

    def divides_by(self, devices: int) -> bool:
        """Return whether vLLM can divide the model among so many devices."""
        return all(
            layer.attention.heads % devices == 0 and _share(layer.attention.kv_heads, devices) for layer in self.layers
        )


def _added(parts: Iterable[Weights]) -> Weights:
    total: Weights = {}
    for part in parts:
        for kind, count in part.items():
            total[kind] = total.get(kind, 0) + count
    return total


def _share(kv_heads: int, devices: int) -> bool:
    return kv_heads == 0 or kv_heads % devices == 0 or devices % kv_heads == 0


def _kept(first: int, last: int, window: int | None) -> int:
    """Sum min(n, window) for n from first to last."""
    if last < first:
        return 0
    full_to = last if window is None else min(last, max(window, first - 1))
    growing = (first + full_to) * (full_to - first + 1) // 2
    return growing + (last - full_to) * (window or 0)
