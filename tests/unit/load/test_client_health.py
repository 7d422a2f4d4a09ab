"""What the client notes of itself, and what that comes to over all processes of a level."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapebench.load.client_health import LATE_S, ClientHealth, Histogram, merge_summaries


def histogram(times_s: list[float]) -> Histogram:
    made = Histogram()
    for time_s in times_s:
        made.add(time_s)
    return made


@given(st.lists(st.floats(1e-8, 1e3), min_size=1), st.integers(1, 64).map(lambda part: part / 64))
def test_a_quantile_is_right_within_two_percent(times_s: list[float], share: float) -> None:
    ordered = sorted(times_s)
    found_s = histogram(times_s).quantile_s(share)
    counted = next(time_s for place, time_s in enumerate(ordered, 1) if place >= share * len(ordered))
    assert found_s == pytest.approx(counted, rel=0.02)


def test_a_quantile_of_many_times_is_right_within_two_percent() -> None:
    rng = random.Random(1)
    times_s = sorted(rng.lognormvariate(-9, 1) for _ in range(20_000))
    found = histogram(times_s)
    for share in (0.5, 0.9, 0.99, 0.999):
        assert found.quantile_s(share) == pytest.approx(times_s[round(share * 20_000) - 1], rel=0.02)


def test_the_greatest_time_is_exact_and_no_quantile_is_above_it() -> None:
    found = histogram([0.001, 0.01234])
    assert found.max_s == 0.01234
    assert found.quantile_s(1.0) <= 0.01234


def test_times_of_nothing_and_below_nothing_can_be_counted() -> None:
    found = histogram([0.0, -1.0])
    assert (found.quantile_s(0.5), found.max_s) == (0.0, 0.0)


def test_without_times_quantiles_are_nothing() -> None:
    assert Histogram().quantile_s(0.99) == 0


def test_tokens_of_one_receive_are_counted_as_shared_but_for_the_first() -> None:
    health = ClientHealth()
    health.received(5, [0.1, 0.1, 0.1, 0.2, 0.3])
    health.received(2, [0.1, 0.2])
    assert (health.tokens, health.shared_tokens) == (7, 2)


def test_requests_that_left_their_stream_idle_are_counted() -> None:
    health = ClientHealth()
    health.sent(LATE_S / 2)
    health.sent(LATE_S * 2)
    assert health.late_sends == 1


def test_a_summary_says_what_was_noted() -> None:
    health = ClientHealth()
    health.sent(0.001)
    health.read_lag.add(0.0001)
    health.iteration.add(0.002)
    health.received(3, [0.1, 0.1, 0.2])
    health.clock.step_s = 0.005
    summary = health.summary()
    assert summary["send_lag_max_s"] == 0.001
    assert summary["read_lag_p50_s"] == pytest.approx(0.0001, rel=0.02)
    assert summary["loop_lag_max_s"] == 0.002
    assert (summary["tokens"], summary["shared_receive_tokens"], summary["clock_step_s"]) == (3, 1, 0.005)
    assert summary["cores"] >= 1
    assert summary["max_rss_bytes"] > 1e6
    assert all(isinstance(value, float) for value in summary.values())


def test_together_processes_add_up_what_adds_up_and_the_rest_is_that_of_the_worst() -> None:
    one, other = (
        ClientHealth().summary()
        | {"cpu_s": cpu_s, "late_sends": late, "tokens": tokens, "read_lag_max_s": lag_s, "realtime": realtime}
        for cpu_s, late, tokens, lag_s, realtime in ((1.0, 2.0, 30_000.0, 0.001, 1.0), (2.0, 3.0, 70_000.0, 0.004, 0.0))
    )
    merged = merge_summaries([one, other])
    assert (merged["processes"], merged["cpu_s"], merged["late_sends"], merged["tokens"]) == (2, 3, 5, 100_000)
    assert merged["read_lag_max_s"] == 0.004
    assert merged["realtime"] == 0
    assert merged["cpu_us_per_token"] == pytest.approx(30)


def test_without_tokens_none_of_them_has_a_cost() -> None:
    assert "cpu_us_per_token" not in merge_summaries([ClientHealth().summary()])


def test_no_processes_have_no_summary() -> None:
    assert merge_summaries([]) == {}
