"""A sweep that stops climbing where queries get too slow."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shapebench.analysis.early_stop import SlowLevel, skipped, stopped_by, too_slow
from shapebench.runs.records import Run
from shapebench.runs.run_file import RunFile, save
from shapebench.runs.samples_file import Sample
from shapebench.spec.model import Load, Search
from tests.level_sample import FACTS, closed_loop, level, refused, request, run

LOAD = Load(levels=(1, 2, 4, 8, 16), stop_below_query_tokens_per_s=10)


def test_the_least_level_at_which_queries_are_too_slow_is_named() -> None:
    assert too_slow(LOAD, [(1, 40.0), (8, 7.0), (4, 9.9), (2, 10.0)]) == SlowLevel(4, 9.9)


@pytest.mark.parametrize("got", [10.0, math.nan])
def test_a_query_that_gets_enough_or_of_which_nothing_is_known_stops_nothing(got: float) -> None:
    assert too_slow(LOAD, [(1, got)]) is None


def test_without_a_bound_nothing_is_too_slow() -> None:
    assert too_slow(Load(), [(1, 0.1)]) is None


def test_levels_of_more_streams_are_left_out() -> None:
    assert skipped(LOAD, [(1, 40.0), (2, 20.0), (4, 9.0)]) == (8, 16)


def test_a_level_that_was_measured_all_the_same_is_not() -> None:
    assert skipped(LOAD, [(2, 9.0), (8, 4.0), (16, 2.0)]) == (4,)


def test_where_all_queries_are_fast_enough_a_level_that_is_missing_is_so_for_another_reason() -> None:
    assert skipped(LOAD, [(1, 40.0), (2, 20.0)]) == ()


def measuring(data: Path, samples: dict[int, list[Sample]], **changes: Any) -> Run:
    """A run in whose folder these levels lie."""
    begun = run(data)
    begun = replace(begun, spec=begun.spec.model_copy(update={"load": LOAD, **changes}))
    begun.folder.mkdir(parents=True, exist_ok=True)
    save(RunFile(begun, FACTS, tuple(level(data, n, made) for n, made in samples.items())))
    return begun


SLOW = [request(0, 0.0, [0.5, 1.0]), refused(1, 1.0)]  # 2 tokens/s


def test_a_level_is_not_measured_where_fewer_streams_were_too_slow(tmp_path: Path) -> None:
    begun = measuring(tmp_path, {1: closed_loop(1), 2: SLOW})
    assert stopped_by(begun, 4) == SlowLevel(2, pytest.approx(2.0))


def test_a_level_of_fewer_streams_is_measured_all_the_same(tmp_path: Path) -> None:
    assert stopped_by(measuring(tmp_path, {4: SLOW}), 2) is None


def test_a_level_without_an_answer_stops_nothing(tmp_path: Path) -> None:
    assert stopped_by(measuring(tmp_path, {1: [refused(0, 0.0)]}), 2) is None


def test_a_search_leaves_out_none(tmp_path: Path) -> None:
    assert stopped_by(measuring(tmp_path, {2: SLOW}, search=Search()), 4) is None
