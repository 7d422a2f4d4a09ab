"""Intervals of percentiles: how often they hold the true one, and what makes them wider."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from shapebench.analysis.level_samples import read
from shapebench.analysis.metrics import inter_token_s
from shapebench.analysis.percentile_intervals import (
    SHOWN,
    Places,
    Sliced,
    Values,
    interval,
    shown_intervals,
    slice_gaps,
    slice_requests,
    slices,
)
from tests.level_sample import request, write

TRUE = {50: 0.0, 95: 1.6448536}  # of the normal distribution
LEVELS = 300


def normal(chance: np.random.Generator, requests: int, correlation: float = 0) -> Values:
    """Of neighbours that are correlated."""
    fresh = chance.standard_normal(requests)
    values = fresh.copy()
    for at in range(1, requests):
        values[at] = correlation * values[at - 1] + np.sqrt(1 - correlation**2) * fresh[at]
    return values


def held(percentile: int, places: Places, correlation: float) -> float:
    """The share of simulated levels whose interval held the true percentile."""
    chance = np.random.default_rng(7)
    found = [interval(Sliced(normal(chance, len(places), correlation), places), percentile) for _ in range(LEVELS)]
    some = [ends for ends in found if ends]
    assert len(some) > 0.9 * LEVELS
    return float(np.mean([low <= TRUE[percentile] <= high for low, high in some]))


@pytest.mark.parametrize("percentile", TRUE)
@pytest.mark.parametrize(("requests", "streams"), [(240, 8), (960, 32)])
def test_of_independent_requests_they_hold_the_true_percentile(percentile: int, requests: int, streams: int) -> None:
    assert held(percentile, slices(requests, streams), correlation=0) >= 0.94  # of so many levels


@pytest.mark.parametrize("percentile", TRUE)
def test_of_requests_that_are_alike_they_hold_it_nearly_as_often(percentile: int) -> None:
    assert held(percentile, slices(960, 32), correlation=0.5) >= 0.9


def test_taken_for_independent_such_requests_would_be_believed_too_much() -> None:
    each_by_itself = np.arange(960)
    assert held(50, each_by_itself, correlation=0.5) < 0.85


def test_of_independent_values_the_ends_are_the_order_statistics_of_the_binomial_distribution() -> None:
    values = np.arange(1.0, 101.0)
    assert interval(Sliced(values, np.arange(100)), 50) == (40.0, 61.0)  # a table's, of n = 100


def test_the_order_of_the_values_does_not_matter_where_slices_are_alike() -> None:
    values = np.arange(1.0, 101.0)
    assert interval(Sliced(values[::-1], np.arange(100)), 50) == (40.0, 61.0)


def test_gaps_of_an_answer_that_are_all_alike_count_as_one() -> None:
    answers = np.random.default_rng(0).standard_normal(100)
    one_each = interval(Sliced(answers, np.arange(100)), 50)
    fifty_each = interval(Sliced(np.repeat(answers, 50), np.repeat(np.arange(100), 50)), 50)
    assert fifty_each == pytest.approx(one_each, abs=0.1)


@pytest.mark.parametrize(("count", "percentile"), [(0, 50), (1, 50), (20, 95), (100, 99)])
def test_too_few_values_have_no_interval(count: int, percentile: int) -> None:
    assert interval(Sliced(np.arange(float(count)), np.arange(count)), percentile) is None


def test_values_that_are_all_the_same_have_an_interval_of_no_width() -> None:
    assert interval(Sliced(np.full(100, 0.02), slices(100, 1)), 50) == (0.02, 0.02)


def test_slices_hold_two_requests_of_each_stream_at_least_and_are_thirty_at_most() -> None:
    assert np.bincount(slices(960, 32)).tolist() == [64] * 15
    assert len({*slices(10_000, 1)}) == 30


def test_where_they_are_too_few_to_tell_each_request_is_its_own() -> None:
    assert slices(8, 1).tolist() == [*range(8)]


def test_only_the_percentiles_that_are_shown_and_known_are_given() -> None:
    level = slice_requests(pd.Series(np.random.default_rng(0).standard_normal(200)), 1)
    assert [*shown_intervals(level)] == ["p50", "p90", "p95"]
    assert [*SHOWN] == ["p50", "p90", "p95", "p99"]


def test_requests_that_lack_the_number_are_left_out() -> None:
    level = slice_requests(pd.Series([1.0, None, 3.0]), 1)
    assert (level.latencies.tolist(), level.slices.tolist()) == ([1.0, 3.0], [0, 2])


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Three answers, not in the order of sending, of which one is warm-up, and a failed one."""
    requests = [
        request(0, 2.0, [0.1, 0.12, 0.16]),
        request(1, 1.0, [0.1, 0.13], chunk_tokens=[1, 3]),
        request(2, 0.0, [0.1, 0.9], warmup=True),
        request(3, 3.0, [0.1, 0.8], error_kind="cut", error_message="cut off"),
    ]
    write(requests, tmp_path / "level-0001.parquet")
    return tmp_path / "level-0001.parquet"


def test_gaps_are_those_of_the_metric_each_with_the_slice_of_its_request(samples: Path) -> None:
    level = slice_gaps(samples, 1)
    assert level.latencies.tolist() == pytest.approx(inter_token_s(read(samples)).tolist())
    assert level.slices.tolist() == [1, 1, 0, 0, 0]


def test_of_a_very_long_level_some_requests_are_enough(samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shapebench.analysis.percentile_intervals.ENOUGH_TOKENS", 6)
    level = slice_gaps(samples, 1)
    assert level.latencies.tolist() == pytest.approx([0.03 / 3] * 3)
    assert level.slices.tolist() == [0, 0, 0]
