"""Several endpoints on their own machines, measured in the same way at the same time, to choose a machine."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from shapebench.spec.model import UNKNOWN_SHAPE, BenchmarkSettings, Endpoint, Spec, StrictModel


def _check_several(endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    if len(endpoints) < 2:  # min_length would also be reported where one of two is wrong
        raise ValueError("at least two endpoints are needed; `shapebench run` measures a single one")
    return endpoints


class SeveralEndpoints(StrictModel):
    """The servers of a choice, their users and their prices."""

    endpoints: Annotated[tuple[Endpoint, ...], AfterValidator(_check_several)] = Field(
        title="Endpoints",
        description="At least two, each with its own shape and URL.",
        json_schema_extra={"minItems": 2},
    )
    users: int | None = Field(
        None,
        ge=1,
        le=100_000_000,
        title="Users",
        description="Concurrent users that the fleet must serve: the ranking shows the number of machines and their "
        "cost. Empty: cost per user-hour.",
    )
    prices: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {},
        title="Prices",
        description='Dollars per hour of a shape, if not the list price, such as {"VM.GPU.A10.1": 1.5}.',
    )


class Choice(BenchmarkSettings, SeveralEndpoints):
    """A comparison of endpoints: what to measure at each, and the number of users to choose a machine for."""

    @model_validator(mode="after")
    def _check_distinct(self) -> Self:
        wrong = []
        for name in ("url", "shape"):
            named = [getattr(endpoint, name) for endpoint in self.endpoints]
            if twice := sorted({value for value in named if named.count(value) > 1}):
                wrong.append(f"endpoints have the same {name}: {', '.join(twice)}")
        if not self._detects_a_shape and (unknown := sorted({*self.prices} - {one.shape for one in self.endpoints})):
            wrong.append(f"prices are set for shapes that no endpoint has: {', '.join(unknown)}")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @property
    def _detects_a_shape(self) -> bool:
        return any(one.on_this_machine and one.shape == UNKNOWN_SHAPE for one in self.endpoints)

    @property
    def specs(self) -> tuple[Spec, ...]:
        """Build the spec of each endpoint's run."""
        shared = {name: getattr(self, name) for name in BenchmarkSettings.model_fields}
        return tuple(Spec(endpoint=endpoint, **shared) for endpoint in self.endpoints)
