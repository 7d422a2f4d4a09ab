"""Labels of runs that are compared."""

from collections.abc import Callable, Mapping, Sequence

Run = Mapping[str, object]  # a row of the view `runs`

_LONGEST = 70  # characters


def _when(run: Run) -> str:
    return f"{run['started_at']:%Y-%m-%d %H:%M}"


# The shortest of these that tells all of them apart is taken.
_WAYS: tuple[Callable[[Run], str], ...] = (
    lambda run: str(run["shape"]),
    lambda run: str(run["model"]),
    lambda run: f"{run['model']} on {run['shape']}",
    lambda run: f"{run['shape']}, {_when(run)}",
    lambda run: f"{run['model']} on {run['shape']}, {_when(run)}",
    lambda run: str(run["run_id"]),
)


def labels(runs: Sequence[Run]) -> dict[str, str]:
    """Label each run by its id; labels are unique, and long ones are cut."""
    for way in _WAYS:
        names = [_cut(way(run)) for run in runs]
        if len({*names}) == len(names):
            break
    return {str(run["run_id"]): name for run, name in zip(runs, names, strict=True)}


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
