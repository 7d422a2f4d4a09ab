"""Runs that have been measured, side by side."""

from pathlib import Path
from typing import Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from shapebench.compare import Compared
from tasks.compare import compare as compare_runs


@flow(name="compare")
def compare(
    runs: list[str],
    data: Path = Path("data"),
    view: Literal["changes", "shapes", "history"] | None = None,
    users: int | None = None,
    prices: dict[str, float] | None = None,
) -> State[Compared]:
    """Put runs side by side: what changed between two, which machine is best, or how an endpoint fared over time.

    Args:
        runs: Ids of runs, or as much of each as tells it from the others; one is enough for its endpoint's history.
        data: The folder that holds results.duckdb, on the machine of the worker.
        view: What to ask of them. Empty: what one asks of such runs.
        users: For how many users at once there is to be room.
        prices: Of an hour of each shape, in dollars, where it is not the list price.
    """
    compared = compare_runs(runs, data, view, users, prices or {})
    return Completed(message=f"{compared.answer['headline']}. Page: {compared.page}", data=compared)
