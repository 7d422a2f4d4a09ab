"""Files that other tools wrote; samples/README.md says which, and how."""

from pathlib import Path
from typing import Any

from shapebench.results.imports.numbers import Number
from shapebench.results.imports.recognise import Sweep, sweeps
from shapebench.results.imports.tool import Level

SAMPLES = Path(__file__).parent / "samples"
MODEL = "meta-llama/Llama-3.2-3B-Instruct"


def read(name: str) -> list[Sweep]:
    return sweeps([SAMPLES / name])


def sweep(name: str) -> Sweep:
    (found,) = read(name)
    return found


def level(name: str, concurrency: int) -> Level:
    return next(level for level in sweep(name).levels if level.concurrency == concurrency)


def numbers(of: Level) -> dict[tuple[str, str], Number]:
    """By metric and stat, none of them twice."""
    found = {(number.metric, number.stat): number for number in of.numbers}
    assert len(found) == len(of.numbers)
    return found


def values(of: Level) -> dict[tuple[str, str], float]:
    return {name: number.value for name, number in numbers(of).items()}


def differing(of: Level) -> set[str]:
    return {number.metric for number in of.numbers if number.differs}


def comparable(of: Level) -> set[str]:
    return {number.metric for number in of.numbers if not number.differs}


def of_whole(of: Level, metric: str) -> list[Any]:
    """A metric's values of all whole requests."""
    return [getattr(answer, metric) for answer in of.answers if answer.error_kind is None and not answer.warmup]
