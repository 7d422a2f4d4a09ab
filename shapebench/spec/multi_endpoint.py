"""Several endpoints, each on a machine of its own: measured alike, at the same time, to choose among the machines."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from shapebench.spec import presets as workloads
from shapebench.spec.model import (
    UNKNOWN_SHAPE,
    Endpoint,
    Limits,
    Load,
    Publish,
    Search,
    Spec,
    StrictModel,
    Workload,
    every_stream_has_work,
)

SHARED = ("workload", "load", "limits", "search", "publish", "data")  # what is the same for all endpoints


def _several(endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    if len(endpoints) < 2:  # min_length would say so as well where one of two is wrong
        raise ValueError("at least two are needed to choose among; `shapebench run` measures one")
    return endpoints


class Choice(StrictModel):
    """What is measured at each endpoint, and for how many users a machine is looked for."""

    endpoints: Annotated[tuple[Endpoint, ...], AfterValidator(_several)] = Field(
        title="Endpoints",
        description="At least two, each with the shape that serves it, all of them at different URLs.",
        json_schema_extra={"minItems": 2},
    )
    users: int | None = Field(
        None,
        ge=1,
        le=100_000_000,
        title="Users",
        description="For how many at once there is to be room: how many machines that takes. Empty: price by user.",
    )
    prices: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {},
        title="Prices",
        description='Of an hour of a shape, in dollars, where it is not the list price, such as {"VM.GPU.A10.1": 1.5}.',
    )
    workload: Workload = Field(Workload(), title="Workload")
    load: Load = Field(Load(), title="Load")
    limits: Limits = Field(Limits(), title="Limits")
    search: Search | None = Field(
        None,
        title="Capacity search",
        description="Search for each machine's greatest concurrency that keeps all SLOs, in place of the levels above. "
        "Empty: measure those.",
    )
    publish: Publish = Field(Publish(), title="Publish")
    data: Path = Field(
        Path("data"), title="Data folder", description="Holds results.duckdb, the raw samples and the reports."
    )

    _with_preset = model_validator(mode="before")(workloads.with_preset)
    _every_stream_has_work = model_validator(mode="after")(every_stream_has_work)

    @model_validator(mode="after")
    def _are_told_apart(self) -> Self:
        wrong = []
        for name in ("url", "shape"):
            named = [getattr(endpoint, name) for endpoint in self.endpoints]
            if twice := sorted({value for value in named if named.count(value) > 1}):
                wrong.append(f"endpoints have the same {name}: {', '.join(twice)}")
        if not self._finds_a_shape and (unknown := sorted({*self.prices} - {one.shape for one in self.endpoints})):
            wrong.append(f"prices are given of shapes that no endpoint has: {', '.join(unknown)}")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @property
    def _finds_a_shape(self) -> bool:
        return any(one.on_this_machine and one.shape == UNKNOWN_SHAPE for one in self.endpoints)

    @property
    def specs(self) -> tuple[Spec, ...]:
        """A run for each endpoint."""
        shared = {name: getattr(self, name) for name in SHARED}
        return tuple(Spec(endpoint=endpoint, **shared) for endpoint in self.endpoints)
