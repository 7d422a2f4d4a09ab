"""Compute shapes, from the files in catalogue/ and the user's own."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shapebench.errors import ShapebenchError
from shapebench.sizing.catalogue.reading import VARIABLE, catalogue
from shapebench.sizing.catalogue.schema import SURE, Catalogue, Cpu, Dtype, Fact, Gpu, PricedPart, ShapeEntry

# What a part is billed by the number of.
UNITS: dict[str, Callable[[ShapeEntry], float]] = {
    "GPU hour": lambda shape: shape.gpus or 0,
    "OCPU hour": lambda shape: shape.ocpus.value if shape.ocpus else 0,
    "GB hour": lambda shape: shape.memory_gb.value if shape.memory_gb else 0,
    "shape hour": lambda _: 1,
}


@dataclass(frozen=True)
class Price:
    """The list price of an hour: the sum over a shape's parts of their number times the price of one."""

    per_hour: float
    currency: str
    sure: str  # as sure as the least sure part of it
    as_of: str | None
    how: str  # such as "2 x 2 USD (B95909, GPU A10, GPU hour)"


@dataclass(frozen=True)
class Shape:
    """A machine; memory, bandwidth and FLOP/s are those of one GPU, or of all CPUs where there is no GPU."""

    name: str
    cloud: str
    processor: str  # which GPU, or which CPU
    count: int  # of GPUs, or of CPUs
    on_cpu: bool
    memory_bytes: float
    memory_bandwidth_bytes_per_s: float | None
    flops: dict[str, float]
    compute_capability: float | None
    price: Price | None
    facts: dict[str, Fact]

    @property
    def devices(self) -> int:
        """The number of devices that a model can be divided among."""
        return 1 if self.on_cpu else self.count

    @property
    def has(self) -> str:
        return f"{self.facts['ocpus'].value:g} OCPUs" if self.on_cpu else f"{self.count} x {self.processor}"


def shape_named(name: str, known: Catalogue | None = None) -> Shape | None:
    """Find a shape by its name, in any case; None if there is none, or not of that size.

    Text after a space, as in "VM.GPU.A10.1 (simulated)", is ignored. A flexible shape has its maximum size, or that
    after its name: NAME:OCPUS:GB.
    """
    known = known or catalogue()
    base, *size = name.partition(" ")[0].split(":")
    full = {listed.lower(): listed for listed in known.shapes}.get(base.lower())
    if full is None:
        return None
    entry = _sized(known.shapes[full], size) if size else known.shapes[full]
    return _shape(":".join((full, *size)), entry, known) if entry else None


def known_shape(name: str) -> Shape:
    """Find a shape by its name; raises ShapebenchError with similar names."""
    if shape := shape_named(name):
        return shape
    alike = difflib.get_close_matches(name.partition(":")[0], catalogue().shapes, n=3, cutoff=0.5)
    hint = f" Is it one of {', '.join(alike)}?" if alike else ""
    raise ShapebenchError(
        f"There is no shape {name!r} in the catalogue.{hint}",
        "`shapebench shapes` lists all shapes, and the maximum size of flexible ones, NAME:OCPUS:GB. A file named in "
        f"{VARIABLE} can add others.",
    )


def single_gpu(gpu: str, known: Catalogue) -> Shape:
    """Make a machine with one GPU of a shape, without a price."""
    return _gpu_shape(f"one {gpu}", ShapeEntry(gpu=gpu, gpus=1), known.gpus[gpu], known)


def all_shapes() -> list[Shape]:
    """List every known shape, in the order of the files."""
    known = catalogue()
    return [_shape(name, entry, known) for name, entry in known.shapes.items()]


def memory_bandwidth_bytes_per_s(shape: str) -> float | None:
    """Return the memory bandwidth of all GPUs of a shape; None where that is not known.

    It is None for a CPU, whose caches may contain much of a small model.
    """
    known = shape_named(shape)
    if known is None or known.on_cpu or known.memory_bandwidth_bytes_per_s is None:
        return None
    return known.memory_bandwidth_bytes_per_s * known.count


def list_price_per_hour(shape: str, currency: str = "USD") -> float | None:
    """Return the list price of an hour; None where no price in that currency is known."""
    known = shape_named(shape)
    price = known.price if known else None
    return price.per_hour if price and price.currency == currency else None


def amount(per_hour: float, currency: str) -> str:
    """Show an amount of money with its currency."""
    digits = 2 if round(per_hour, 2) == per_hour else 3
    return f"{per_hour:,.{digits}f} {currency}"


def _sized(entry: ShapeEntry, size: list[str]) -> ShapeEntry | None:
    """Return the shape with so many OCPUs and so much memory; None if that size is impossible."""
    try:
        requested = dict(zip(("ocpus", "memory_gb"), map(float, size), strict=True))
    except ValueError:
        return None
    limits = {name: getattr(entry, name) for name in requested}
    if not entry.flexible or not all(limits[name] and 0 < has <= limits[name].value for name, has in requested.items()):
        return None
    facts = {name: Fact(value=has, source="the requested size") for name, has in requested.items()}
    return entry.model_copy(update=facts)


def _shape(name: str, entry: ShapeEntry, known: Catalogue) -> Shape:
    if entry.gpu:
        return _gpu_shape(name, entry, known.gpus[entry.gpu], known)
    assert entry.cpu
    return _cpu_shape(name, entry, known.cpus[entry.cpu], known)


def _gpu_shape(name: str, entry: ShapeEntry, gpu: Gpu, known: Catalogue) -> Shape:
    assert entry.gpu
    assert entry.gpus
    assert gpu.memory_gb
    visible = gpu.visible_memory_gib
    return Shape(
        name=name,
        cloud=entry.cloud or "",
        processor=entry.gpu,
        count=entry.gpus,
        on_cpu=False,
        memory_bytes=visible.value * 2**30 if visible else gpu.memory_gb.value * 1e9,
        memory_bandwidth_bytes_per_s=_bytes_per_s(gpu.memory_bandwidth_gb_per_s),
        flops={dtype: fact.value * 1e12 for dtype, fact in gpu.dense_tflops.items()},
        compute_capability=gpu.compute_capability,
        price=_price(entry, known.parts),
        facts={**_facts(entry), **_facts(gpu, "gpu_"), **_table("gpu_dense_tflops", gpu.dense_tflops)},
    )


def _cpu_shape(name: str, entry: ShapeEntry, cpu: Cpu, known: Catalogue) -> Shape:
    assert entry.cpu
    assert entry.ocpus
    assert entry.memory_gb
    cores = entry.ocpus.value * cpu.cores_per_ocpu
    sockets = -int(-cores // cpu.cores)  # a machine of no more cores than a CPU has is taken to lie in one
    bandwidth = _bytes_per_s(cpu.memory_bandwidth_gb_per_s)
    return Shape(
        name=name,
        cloud=entry.cloud or "",
        processor=entry.cpu,
        count=sockets,
        on_cpu=True,
        memory_bytes=entry.memory_gb.value * 1e9,
        memory_bandwidth_bytes_per_s=bandwidth * sockets if bandwidth else None,
        flops={dtype: fact.value * 1e9 * cores for dtype, fact in cpu.gflops_per_core.items()},
        compute_capability=None,
        price=_price(entry, known.parts),
        facts={**_facts(entry), **_facts(cpu, "cpu_"), **_table("cpu_gflops_per_core", cpu.gflops_per_core)},
    )


def _bytes_per_s(fact: Fact | None) -> float | None:
    return fact.value * 1e9 if fact else None


def _facts(entry: ShapeEntry | Gpu | Cpu, prefix: str = "") -> dict[str, Fact]:
    named = {f"{prefix}{name}": getattr(entry, name) for name in entry.FACTS}
    return {name: fact for name, fact in named.items() if isinstance(fact, Fact)}


def _table(name: str, facts: Mapping[Dtype, Fact]) -> dict[str, Fact]:
    return {f"{name}.{key}": fact for key, fact in facts.items()}


def _price(entry: ShapeEntry, parts: dict[str, PricedPart]) -> Price | None:
    """Add the prices of a shape's parts; None if it has no parts: unknown prices are not guessed."""
    per_hour, terms, facts, currencies = 0.0, [], [], set()
    for number in entry.parts:
        part = parts[number]
        if part.price is None:
            return None
        count = UNITS[part.unit or "shape hour"](entry)
        what = ", ".join(filter(None, (number, part.what, part.unit)))
        per_hour += count * part.price.value
        terms.append(f"{count:g} x {part.price.value:g} {part.currency} ({what})")
        facts.append(part.price)
        currencies.add(part.currency)
    if len(currencies) != 1:
        return None
    return Price(
        per_hour=per_hour,
        currency=currencies.pop(),
        sure=max((fact.sure for fact in facts), key=[*SURE].index),
        as_of=min((fact.as_of for fact in facts if fact.as_of), default=None),
        how=" + ".join(terms),
    )
