"""The schema of a catalogue file: processors, prices of parts, and shapes; each fact has a source and a confidence."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from shapebench.support.frozen_model import FrozenModel

# How sure a fact is, the surest first.
SURE = {
    "price list": "from the cloud's price list",
    "data sheet": "from the maker's data sheet",
    "documentation": "from the cloud's documentation",
    "seen": "machines that run report it",
    "derived": "computed from other facts",
    "stated": "from a file of yours, without a confidence",
    "second hand": "from a copy of the source",
    "unsure": "sources differ, or were read in summaries only",
}
Dtype = Literal["fp32", "fp16", "bf16", "fp8", "int8", "fp4"]
Unit = Literal["GPU hour", "OCPU hour", "GB hour", "shape hour"]


def _as_text(value: object) -> str | None:
    """Turn YAML's numbers and days into text: 2026, 2026-10-05."""
    return value if value is None else str(value)


Day = Annotated[str | None, BeforeValidator(_as_text)]


class Fact(FrozenModel):
    """A number, how sure it is, who says so, and when he said it."""

    value: float = Field(gt=0, allow_inf_nan=False)
    sure: str = "stated"
    source: str = ""
    as_of: Day = None

    @field_validator("sure")
    @classmethod
    def _is_known(cls, sure: str) -> str:
        if sure not in SURE:
            raise ValueError(f"is not one of {', '.join(SURE)}")
        return sure


class Entry(FrozenModel):
    """Entry whose numbers become facts with its `sure`, `source` and `as_of`; the default source is the file."""

    FACTS: ClassVar[tuple[str, ...]] = ()  # the fields that are facts, or tables of facts

    sure: str = "stated"
    source: str = ""
    as_of: Day = None

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_facts(cls, content: object, info: ValidationInfo) -> object:
        if not isinstance(content, dict):
            return content
        source = content.get("source") or str((info.context or {}).get("file", ""))
        origin = {"sure": content.get("sure", "stated"), "as_of": content.get("as_of"), "source": source}
        return {name: _fact(value, origin) if name in cls.FACTS else value for name, value in content.items()}


def _fact(value: object, origin: dict[str, object]) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {**origin, "value": value}
    if isinstance(value, dict) and "value" not in value:
        return {name: _fact(item, origin) for name, item in value.items()}
    return value


class Gpu(Entry):
    """One GPU."""

    FACTS: ClassVar[tuple[str, ...]] = ("memory_gb", "visible_memory_gib", "memory_bandwidth_gb_per_s", "dense_tflops")

    maker: str | None = None
    compute_capability: float | None = None
    memory_gb: Fact | None = None
    visible_memory_gib: Fact | None = None
    memory_bandwidth_gb_per_s: Fact | None = None
    dense_tflops: dict[Dtype, Fact] = Field(default_factory=dict)


class Cpu(Entry):
    """One CPU, which is a socket."""

    FACTS: ClassVar[tuple[str, ...]] = ("memory_bandwidth_gb_per_s", "gflops_per_core")

    maker: str | None = None
    cores: int = Field(1, ge=1)
    cores_per_ocpu: int = Field(1, ge=1)
    memory_bandwidth_gb_per_s: Fact | None = None
    gflops_per_core: dict[Dtype, Fact] = Field(default_factory=dict)


class PricedPart(Entry):
    """A part of a machine that a cloud bills by the hour."""

    FACTS: ClassVar[tuple[str, ...]] = ("price",)

    what: str | None = None
    unit: Unit | None = None
    price: Fact | None = None
    currency: str = Field("USD", pattern="^[A-Z]{3}$")


class ShapeEntry(Entry):
    """A machine: GPUs, or else a CPU; `parts` are what it is billed by."""

    FACTS: ClassVar[tuple[str, ...]] = ("ocpus", "memory_gb")

    cloud: str | None = None
    gpu: str | None = None
    gpus: int | None = Field(None, ge=1, le=1024)
    cpu: str | None = None
    flexible: bool = False
    ocpus: Fact | None = None
    memory_gb: Fact | None = None
    parts: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_gpus_or_a_cpu(self) -> Self:
        if self.gpu and self.cpu:
            raise ValueError("needs either a gpu or a cpu")
        return self


class Catalogue(FrozenModel):
    """One file, or several put over one another."""

    gpus: dict[str, Gpu] = Field(default_factory=dict)
    cpus: dict[str, Cpu] = Field(default_factory=dict)
    parts: dict[str, PricedPart] = Field(default_factory=dict)
    shapes: dict[str, ShapeEntry] = Field(default_factory=dict)
