"""A page on which runs stand side by side."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.compare import Asked, Compared, chosen
from shapebench.compare import compare as compare_runs


@task(name="compare", cache_policy=NO_CACHE)
def compare(
    runs: list[str],
    data: Path,
    view: str | None = None,
    users: int | None = None,
    prices: dict[str, float] | None = None,
) -> Compared:
    return compare_runs(Asked(data, chosen(data, runs), prices or {}, users), view)
