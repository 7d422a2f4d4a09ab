"""Flow that compares stored runs."""

from pathlib import Path
from typing import Annotated, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import Field

from shapebench.report.build_comparison import Comparison
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
) -> State[Comparison]:
    """Compare runs: what changed between two, which machine is best, or an endpoint over time.

    Args:
        runs: Ids of runs, or unique prefixes of them; a single one shows the history of its endpoint.
        data: The data folder with results.duckdb, on the machine of the worker.
        view: changes: what changed between two; shapes: which shape is best; history: an endpoint over time; usual:
            depends on the runs.
        users: Concurrent users that the fleet must serve: the ranking shows the number of machines and their cost. 0:
            cost per user-hour.
        prices: Dollars per hour of a shape, if not the list price, such as {"VM.GPU.A10.1": 1.5}.
    """
    compared = compare_runs(runs, data, None if view == "usual" else view, users or None, prices)
    return Completed(message=f"{compared.answer['headline']}. Page: {compared.page}", data=compared)
