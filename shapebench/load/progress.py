"""The progress of a level, and its listeners: the terminal's bars, a Prefect artifact, or none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from shapebench.load.counters import Progress
from shapebench.spec.model import Load

Listener = Callable[[int, Progress], None]

# Of this run, and not of another in the same process: threads that are started for a run take over its context.
_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("listeners", default=())


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener` with the concurrency and the progress of each level that is measured in the block."""
    before = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(before)


def notify(concurrency: int, progress: Progress) -> None:
    """Call all listeners of this run."""
    for listener in _listeners.get():
        listener(concurrency, progress)


def share(progress: Progress, duration_s: float | None) -> float:
    """Compute the share of a level that is done, by its requests or by its time, whichever ends it first."""
    by_requests = _ended(progress) / progress.planned if progress.planned else 0.0
    by_time = progress.measured_s / duration_s if duration_s else 0.0
    return min(max(by_requests, by_time), 1.0)


def format_done(progress: Progress) -> str:
    """Format the requests that have ended, of those that are planned."""
    return f"{_ended(progress)}/{progress.planned}" if progress.planned else f"{_ended(progress)}"


def describe(progress: Progress) -> str:
    """Describe the results of a level in a line."""
    ttft = "" if progress.ttft_s is None else f", {1000 * progress.ttft_s:,.0f} ms to the first token on average"
    return f"{progress.completed} completed, {progress.failed} failed, {progress.tokens_per_s:,.0f} tokens/s{ttft}"


def overall_progress(load: Load, concurrency: int, progress: Progress) -> tuple[float, str]:
    """Return the share of all levels that is done, as if each took equally long, and describe it."""
    before, of = load.levels.index(concurrency), len(load.levels)
    share_done = (before + share(progress, load.duration_at(concurrency))) / of
    failed = f", {progress.failed} failed" if progress.failed else ""
    return (
        share_done,
        f"Concurrency {concurrency}, level {before + 1} of {of}: {format_done(progress)} requests{failed}",
    )


def _ended(progress: Progress) -> int:
    return progress.completed + progress.failed
