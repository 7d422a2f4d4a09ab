"""Metrics as GenAI-Perf writes them, and AIPerf after it: an object of stats with their unit for each metric."""

from dataclasses import replace

from shapebench.results.imports.json_model import ImportFileError, read_numbers
from shapebench.results.imports.numbers import Number, Summarised, of_given
from shapebench.spec import metric_definitions

STATS = {"mean": "avg", "min": "min", "max": "max", "stddev": "std", **{p: p for p in metric_definitions.PERCENTILES}}
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0}
TIMES = ("ttft_s", "e2e_s", "tpot_s", "inter_token_s")


def stats(content: object, name: str) -> dict[str, float | None]:
    """Return a metric's stats by their names in the file."""
    return read_numbers(content.get(name) if isinstance(content, dict) else None)


def of_metric(metric: str, content: object, name: str, summarised: Summarised) -> list[Number]:
    """Convert a metric's stats to ours, times to seconds."""
    given = stats(content, name)
    factor = _seconds(content, name) if metric in TIMES and given else 1
    return of_given(metric, given, STATS, replace(summarised, factor=factor))


def _seconds(content: object, name: str) -> float:
    """Return what makes seconds of a metric's values; without a unit they are milliseconds."""
    found = content.get(name) if isinstance(content, dict) else None
    unit = found.get("unit") if isinstance(found, dict) else None
    if unit is None:
        return SECONDS["ms"]
    if str(unit) not in SECONDS:
        raise ImportFileError(f"{name} is in {unit!r}, which is no known unit of time")
    return SECONDS[str(unit)]
