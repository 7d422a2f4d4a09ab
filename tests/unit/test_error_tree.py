"""The picture of all errors in `shapebench/errors.py` is true."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

import pytest

import cli
import expectations
import flows
import shapebench
import tasks
from shapebench import errors
from shapebench.errors import ShapebenchError

PACKAGES = (shapebench, expectations, tasks, flows, cli)


def subclasses(error: type[ShapebenchError]) -> list[type[ShapebenchError]]:
    return sorted(error.__subclasses__(), key=lambda kind: kind.__name__)


def lines(error: type[ShapebenchError], depth: int = 0) -> Iterator[str]:
    """Draw an error and all below it; an exit code is named where it begins to differ."""
    parent = error.__bases__[0]
    code = f" (exit code {error.exit_code})" if error.exit_code != getattr(parent, "exit_code", None) else ""
    where = "" if error is ShapebenchError else f" [{error.__module__}]"
    yield f"{'  ' * depth}{'x ' if error.__subclasses__() else '· '}{error.__name__}{where}{code}"
    for below in subclasses(error):
        yield from lines(below, depth + 1)


@pytest.fixture(scope="module")
def tree() -> str:
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    return "\n".join(lines(ShapebenchError))


def test_the_picture_shows_every_error(tree: str) -> None:
    assert tree in (errors.__doc__ or ""), f"shapebench/errors.py should show\n{tree}"


def test_no_two_errors_have_the_same_name(tree: str) -> None:
    names = [line.split()[1] for line in tree.splitlines()]
    assert sorted(names) == sorted(set(names))
    assert [name for name in names if not name.endswith("Error")] == []
