"""Runs that have been measured, side by side."""

from pathlib import Path
from typing import Annotated, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import Field

from shapebench.report.build_comparison import Compared
from tasks.compare import compare as compare_runs

Some = Annotated[list[str], Field(min_length=1)]
Price = Annotated[float, Field(ge=0)]


# In a form, what may also be null is a choice between types: no parameter may.
@flow(name="compare")
def compare(
    runs: Some,
    data: Path = Path("data"),
    view: Literal["usual", "changes", "shapes", "history"] = "usual",
    users: Annotated[int, Field(ge=0)] = 0,
    prices: dict[str, Price] = {},  # noqa: B006 - nobody changes it
) -> State[Compared]:
    """Put runs side by side: what changed between two, which machine is best, or how an endpoint fared over time.

    Args:
        runs: Ids of runs, or as much of each as tells it from the others; one is enough for its endpoint's history.
        data: The folder that holds results.duckdb, on the machine of the worker.
        view: What to ask of them: what changed between two, which shape is best, how an endpoint fared; usual: what one
            asks of such runs.
        users: For how many users at once there is to be room: how many machines that takes. 0: price by user.
        prices: Of an hour of a shape, in dollars, where it is not the list price, such as {"VM.GPU.A10.1": 1.5}.
    """
    compared = compare_runs(runs, data, None if view == "usual" else view, users or None, prices)
    return Completed(message=f"{compared.answer['headline']}. Page: {compared.page}", data=compared)
