"""Estimates of models on shapes: fit, speed at best, and minimum cost."""

from collections.abc import Iterator
from dataclasses import dataclass

from shapebench.sizing.estimate.bounds import Bound, Workload, bound, numbers_on
from shapebench.sizing.estimate.cost import cost_per_million_output_tokens
from shapebench.sizing.estimate.fit import Fit, Serving, fit
from shapebench.sizing.estimate.model import Model
from shapebench.sizing.shapes import Shape

BEST = (
    "These are bounds of the hardware, not forecasts: without speculative decoding and cached prompts no server is "
    "faster. Real ones reach a part of it; half, in the article on the A10. Measure."
)


@dataclass(frozen=True)
class Estimate:
    """A model on a shape. `single` is the bound of a single query, `loaded` that of the workload's concurrency."""

    shape: Shape
    fit: Fit
    numbers: str | None  # that the shape multiplies in
    single: Bound | None
    loaded: Bound | None
    warnings: tuple[str, ...]

    @property
    def cost_per_million_output_tokens(self) -> float | None:
        """The minimum at list price; None where no price is known."""
        if self.loaded is None or self.shape.price is None:
            return None
        return cost_per_million_output_tokens(self.shape.price.per_hour, self.loaded.system_tokens_per_s)


def estimate(model: Model, shape: Shape, workload: Workload, serving: Serving) -> Estimate:
    """Estimate to first order what one shape can do for a model."""
    found = fit(model, shape, serving, workload.tokens)
    return Estimate(
        shape=shape,
        fit=found,
        numbers=numbers_on(shape, model.scheme.numbers),
        single=bound(model, shape, found, workload, 1),
        loaded=bound(model, shape, found, workload, workload.concurrency),
        warnings=tuple(_warnings(model, shape)),
    )


def _warnings(model: Model, shape: Shape) -> Iterator[str]:
    capability, processor = shape.compute_capability, shape.processor
    wanted, has = model.scheme.numbers, numbers_on(shape, model.scheme.numbers)
    if capability is not None and capability < 7:
        yield f"{processor}: vLLM needs compute capability 7.0, and it has {capability:.1f}."
    if capability is not None and capability < 8 and model.scheme.dtype == "bfloat16":
        yield f"{processor}: it has no bfloat16; serve with --dtype half."
    elif has and has != wanted:
        yield f"{processor}: it is not known to multiply {wanted}; {has} is taken instead."
    if shape.on_cpu:
        yield "A CPU's caches may hold much of a small model, and a virtual machine has a share of its bandwidth only."
    if any(fact.sure == "unsure" for name, fact in shape.facts.items() if "memory" in name):
        yield f"{processor}: its memory or bandwidth is not sure; `shapebench shapes {shape.name}` says why."
