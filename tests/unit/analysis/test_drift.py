"""A time to first token that stays is never said to drift, however it varies; one that does is found."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from shapebench.analysis.drift import Drift, ttft_drift

Values = npt.NDArray[np.float64]
SEEDS = 300
TTFT_S = 0.5


def done(ttft_s: Values) -> pd.DataFrame:
    """Requests sent 0.1 s apart."""
    return pd.DataFrame({"sent_at_ns": 10**18 + np.arange(len(ttft_s)) * 10**8, "ttft_s": ttft_s})


def noise(rng: np.random.Generator, count: int, correlation: float) -> Values:
    """AR(1) from one request to the next, stationary from the first, of variance 1."""
    values = rng.normal(size=count)
    for n in range(1, count):
        values[n] = correlation * values[n - 1] + np.sqrt(1 - correlation**2) * values[n]
    return values


def normal(values: Values) -> Values:
    return TTFT_S * (1 + 0.2 * values)


def heavy_tailed(values: Values) -> Values:
    return TTFT_S * np.exp(0.7 * values)


def found(ttft_s: Values, streams: int) -> Drift:
    drift = ttft_drift(done(ttft_s), streams)
    assert drift is not None
    return drift


@pytest.mark.nightly
@pytest.mark.parametrize("shape", [normal, heavy_tailed])
@pytest.mark.parametrize("correlation", [0.0, 0.5])
@pytest.mark.parametrize(("streams", "count"), [(1, 300), (4, 120), (8, 300), (32, 960)])
def test_noise_without_a_trend_is_never_said_to_drift(
    streams: int, count: int, correlation: float, shape: Callable[[Values], Values]
) -> None:
    sure = [found(shape(noise(np.random.default_rng(seed), count, correlation)), streams).sure for seed in range(SEEDS)]
    assert sure == [0] * SEEDS


@pytest.mark.parametrize("correlation", [0.0, 0.5])
@pytest.mark.parametrize("change", [-1.0, 1.0])
def test_a_clear_trend_is_found_beneath_the_noise_and_no_more_of_it_than_there_is(
    change: float, correlation: float
) -> None:
    trend = 1 + change * np.linspace(-0.5, 0.5, 960)
    for seed in range(SEEDS // 3):
        drift = found(trend * normal(noise(np.random.default_rng(seed), 960, correlation)), 16)
        assert drift.share == pytest.approx(change, abs=0.2)
        assert 0.1 < drift.sure / np.sign(change) <= abs(drift.share)


def test_a_drift_is_a_share_of_the_median_from_the_first_batch_to_the_last() -> None:
    """240 requests from 1 s to 2 s in 30 batches of 8, whose medians are 8/239 s apart (29 times) 1.5 s on average."""
    drift = found(np.linspace(1, 2, 240), streams=4)
    assert drift.share == pytest.approx(29 * 8 / 239 / 1.5)
    assert drift.sure == pytest.approx(drift.share, rel=1e-4)  # nothing on that line is chance


def test_a_time_that_falls_has_a_negative_drift() -> None:
    rising, falling = found(np.linspace(1, 2, 240), 4), found(np.linspace(2, 1, 240), 4)
    assert (falling.share, falling.sure) == pytest.approx((-rising.share, -rising.sure))


def test_a_time_that_never_changes_does_not_drift() -> None:
    assert found(np.full(240, 0.25), 4) == Drift(0, 0)


def test_a_weak_trend_is_seen_but_is_not_sure() -> None:
    rng = np.random.default_rng(1)
    drift = found(np.linspace(1, 1.05, 240) * normal(noise(rng, 240, 0)), 4)
    assert abs(drift.share) > 0
    assert drift.sure == 0


@pytest.mark.parametrize("streams", [1, 4, 32])
def test_there_is_no_saying_of_fewer_than_sixteen_requests_of_each_stream(streams: int) -> None:
    enough = np.linspace(1, 2, 16 * streams)
    assert ttft_drift(done(enough[:-1]), streams) is None
    assert ttft_drift(done(enough), streams) is not None


def test_of_no_request_there_is_no_saying() -> None:
    assert ttft_drift(done(np.empty(0)), 1) is None


def test_requests_count_in_the_order_in_which_they_were_sent() -> None:
    rows = done(np.linspace(1, 2, 240))
    assert ttft_drift(rows.sample(frac=1, random_state=1), 4) == ttft_drift(rows, 4)


SHAPES = {
    "the first tenth takes five times as long": lambda at: np.where(at < 0.1, 5.0, 1.0),
    "the first fifth takes three times as long": lambda at: np.where(at < 0.2, 3.0, 1.0),
    "a warm-up that fades": lambda at: 1 + 4 * np.exp(-at / 0.1),
    "twice as long from the middle on": lambda at: np.where(at < 0.5, 1.0, 2.0),
    "a rise that slows down": lambda at: 1 + 3 * np.sqrt(at),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_whatever_shape_a_drift_has_it_is_found(shape: str) -> None:
    at = np.linspace(0, 1, 240)
    noises = (np.exp(0.15 * noise(np.random.default_rng(seed), 240, 0.0)) for seed in range(20))
    assert [seed for seed, one in enumerate(noises) if abs(found(SHAPES[shape](at) * one, 4).sure) <= 0.1] == []


def test_a_hiccup_is_no_drift() -> None:
    """Of 240 requests a round of the four streams takes ten times as long."""
    for place in range(0, 232, 8):
        ttft_s = np.exp(0.1 * noise(np.random.default_rng(place), 240, 0.0))
        ttft_s[place : place + 4] *= 10
        assert abs(found(ttft_s, 4).sure) <= 0.1
