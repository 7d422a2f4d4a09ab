"""Several endpoints, each on a machine of its own: measured alike, at the same time, to choose among the machines."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Self

import orjson
import yaml
from pydantic import Field, model_validator

from shapebench.errors import ShapebenchError
from shapebench.spec import Endpoint, Limits, Load, Part, Publish, Spec, Workload

_LAST_LINES = 15  # of what a run that failed has said


class Choice(Part):
    """What is measured at each endpoint, and for how many users a machine is looked for."""

    endpoints: tuple[Endpoint, ...] = Field(
        min_length=2,
        title="Endpoints",
        description="Each with the shape that serves it, all of them at different URLs.",
    )
    users: int | None = Field(
        None,
        ge=1,
        le=100_000_000,
        title="Users",
        description="For how many at once there is to be room: how many machines that takes. Empty: price by user.",
    )
    prices: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {}, title="Prices", description="Of an hour of a shape, in dollars, where it is not the list price."
    )
    workload: Workload = Field(Workload(), title="Workload")
    load: Load = Field(Load(), title="Load")
    limits: Limits = Field(Limits(), title="Limits")
    publish: Publish = Field(Publish(), title="Publish")
    data: Path = Field(
        Path("data"), title="Data folder", description="Holds results.duckdb, the raw samples and the reports."
    )

    @model_validator(mode="after")
    def _are_told_apart(self) -> Self:
        for name in ("url", "shape"):
            named = [getattr(endpoint, name) for endpoint in self.endpoints]
            if twice := sorted({value for value in named if named.count(value) > 1}):
                raise ValueError(f"two endpoints have the same {name}: {', '.join(twice)}")
        return self

    @property
    def specs(self) -> tuple[Spec, ...]:
        """A run for each endpoint."""
        shared = {name: getattr(self, name) for name in ("workload", "load", "limits", "publish", "data")}
        return tuple(Spec(endpoint=endpoint, **shared) for endpoint in self.endpoints)


class EndpointFailed(ShapebenchError):
    """One of the endpoints could not be measured."""


def measure_apart(spec: Spec) -> str:
    """Run the whole pipeline for one endpoint in a process of its own; gives the run's id, raises EndpointFailed.

    It is ended when this process is, whatever ends it.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "spec.yaml"
        file.write_text(yaml.safe_dump(spec.model_dump(mode="json", exclude_none=True)), encoding="utf-8")
        command = [sys.executable, "-m", "shapebench.cli", "run", str(file), "--quiet", "--json"]
        code, stdout, stderr = _guarded(command)
    if code == 0:
        return str(orjson.loads(stdout)["run_id"])
    said = "\n".join(stderr.splitlines()[-_LAST_LINES:])
    raise EndpointFailed(
        f"{spec.endpoint.shape} at {spec.endpoint.url} could not be measured: {said}",
        "Try that endpoint alone with `shapebench run`; the others are ranked without it.",
    )


def _guarded(command: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command whose guard sees to it that it does not outlive this process."""
    guard = [sys.executable, "-P", "-m", "shapebench.guard", *command]
    # Its stdin is not closed before it ends: that is what the guard takes as the sign that we are gone.
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as stdout,
        tempfile.TemporaryFile("w+", encoding="utf-8") as stderr,
        subprocess.Popen(guard, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, start_new_session=True) as process,
    ):
        code = process.wait()
        for file in (stdout, stderr):
            file.seek(0)
        return code, stdout.read(), stderr.read()
