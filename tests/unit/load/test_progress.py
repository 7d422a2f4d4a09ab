"""How a run is coming on: by its requests or its time, and only to those who listen to it."""

from collections.abc import Callable
from contextvars import Context
from typing import Any

import pytest

from shapebench.load.counters import Progress
from shapebench.load.progress import describe, format_done, listening, notify, overall_progress, share
from shapebench.spec.model import Load

Heard = list[tuple[int, Progress]]


def so_many(completed: int, planned: int | None = 100, **changes: Any) -> Progress:
    return Progress(
        **{"completed": completed, "failed": 0, "planned": planned, "tokens_per_s": 812.4, "ttft_s": 0.12, **changes}
    )


def listener(heard: Heard) -> Callable[[int, Progress], None]:
    return lambda concurrency, progress: heard.append((concurrency, progress))


def test_those_who_listen_are_told() -> None:
    heard: Heard = []
    with listening(listener(heard)):
        notify(4, so_many(1))
    notify(4, so_many(2))
    assert heard == [(4, so_many(1))]


def test_several_may_listen() -> None:
    first: Heard = []
    second: Heard = []
    with listening(listener(first)), listening(listener(second)):
        notify(4, so_many(1))
    assert first == second == [(4, so_many(1))]


def test_runs_of_one_process_do_not_hear_one_another() -> None:
    heard: Heard = []
    with listening(listener(heard)):
        Context().run(notify, 4, so_many(1))
    assert heard == []


@pytest.mark.parametrize(
    ("progress", "duration_s", "whole"),
    [
        (so_many(25), None, 0.25),
        (so_many(20, failed=5), None, 0.25),
        (so_many(25, measured_s=30.0), 60.0, 0.5),
        (so_many(75, measured_s=30.0), 60.0, 0.75),
        (so_many(10, planned=None, measured_s=90.0), 60.0, 1.0),
        (so_many(10, planned=None), None, 0.0),
    ],
)
def test_a_level_is_done_by_its_requests_or_its_time(
    progress: Progress, duration_s: float | None, whole: float
) -> None:
    assert share(progress, duration_s) == pytest.approx(whole)


def test_what_is_done_is_shown_of_what_is_planned() -> None:
    assert (format_done(so_many(20, failed=5)), format_done(so_many(20, planned=None))) == ("25/100", "20")


def test_all_levels_count_alike() -> None:
    whole, words = overall_progress(Load(levels=(1, 2, 4, 8)), 4, so_many(50, failed=2))
    assert whole == pytest.approx((2 + 0.52) / 4)
    assert words == "Concurrency 4, level 3 of 4: 52/100 requests, 2 failed"


def test_what_a_level_came_to_is_said_in_words() -> None:
    assert describe(so_many(99, failed=1)) == (
        "99 completed, 1 failed, 812 tokens/s, 120 ms to the first token on average"
    )


def test_where_nothing_came_no_wait_is_named() -> None:
    assert describe(so_many(0, failed=9, ttft_s=None, tokens_per_s=0.0)) == "0 completed, 9 failed, 0 tokens/s"
