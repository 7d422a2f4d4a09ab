"""Who wants to know how a level is coming on: the terminal's bars, say, or nobody."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shapebench.load.tally import Progress

Listener = Callable[[int, Progress], None]

_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener` with the concurrency and the progress of each level that this process measures."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def tell(concurrency: int, progress: Progress) -> None:
    for listener in _listeners:
        listener(concurrency, progress)
