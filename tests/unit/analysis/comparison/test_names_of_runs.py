"""What runs are called beside one another."""

from datetime import datetime
from typing import Any

from shapebench.analysis.comparison.labels import labels


def run(run_id: str, model: str = "m", shape: str = "A10", day: int = 1) -> dict[str, Any]:
    return {"run_id": run_id, "model": model, "shape": shape, "started_at": datetime(2026, 7, day)}  # noqa: DTZ001


def test_on_different_shapes_they_are_called_by_the_shape() -> None:
    assert labels([run("a"), run("b", shape="H100")]) == {"a": "A10", "b": "H100"}


def test_with_different_models_on_one_shape_they_are_called_by_the_model() -> None:
    assert labels([run("a"), run("b", model="n")]) == {"a": "m", "b": "n"}


def test_of_one_shape_they_are_called_by_the_day() -> None:
    assert labels([run("a"), run("b", day=2)])["b"] == "A10, 2026-07-02 00:00"


def test_what_nothing_else_tells_apart_is_called_by_its_id() -> None:
    assert labels([run("a"), run("b")]) == {"a": "a", "b": "b"}


def test_long_names_that_are_cut_alike_are_told_apart() -> None:
    names = labels([run("a", shape="x" * 100 + "1"), run("b", shape="x" * 100 + "2")])
    assert names == {"a": "a", "b": "b"}
