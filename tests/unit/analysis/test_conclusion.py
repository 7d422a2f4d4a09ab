"""The answer in words: only what the numbers carry."""

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapebench.analysis.conclusion import Conclusion, conclude
from shapebench.spec.model import Limits, Load

GOOD: dict[str, Any] = {
    "verdict": "valid",
    "query_tokens_per_s_mean": 44.0,
    "ttft_s_p95": 0.09,
    "completed": 960,
    "failed": 0,
    "timestamps": "kernel",
    "error": None,
}


def level(concurrency: int, system_tokens_per_s: float | None = None, **fields: Any) -> dict[str, Any]:
    system = 60.0 * concurrency if system_tokens_per_s is None else system_tokens_per_s
    return {**GOOD, "concurrency": concurrency, "system_tokens_per_s": system, **fields}


def unmeasured(concurrency: int, verdict: str) -> dict[str, Any]:
    return level(concurrency, float("nan"), verdict=verdict, query_tokens_per_s_mean=None, ttft_s_p95=None, completed=0)


def answer(*levels: dict[str, Any], verdict: str = "valid") -> Conclusion:
    return conclude(pd.DataFrame(levels), Limits(), verdict)


def text(*levels: dict[str, Any], verdict: str = "valid") -> str:
    return " ".join(answer(*levels, verdict=verdict).sentences)


def test_when_every_level_holds_the_answer_is_at_least_the_highest() -> None:
    assert answer(level(16), level(32)).headline == "Suits at least 32 concurrent users"


def test_one_user_is_in_the_singular() -> None:
    assert answer(level(1)).headline == "Suits at least 1 concurrent user"


def test_the_level_that_breaks_a_limit_bounds_the_answer() -> None:
    assert answer(level(16), level(32, ttft_s_p95=0.8)).headline == "Suits 16 concurrent users, but not 32"


def test_when_the_lowest_level_breaks_a_limit_it_does_not_suit_even_that() -> None:
    assert answer(level(8, query_tokens_per_s_mean=9.0)).headline == "Does not suit even 8 concurrent users"


def test_a_level_that_holds_above_one_that_does_not_counts_for_nothing() -> None:
    assert answer(level(1), level(2, ttft_s_p95=0.8), level(4)).headline == "Suits 1 concurrent user, but not 2"


def test_a_level_exactly_at_both_limits_holds() -> None:
    assert "at least 4" in answer(level(4, query_tokens_per_s_mean=10.0, ttft_s_p95=0.5)).headline


def test_levels_are_judged_in_order_of_concurrency_however_they_come() -> None:
    assert answer(level(32, ttft_s_p95=0.8), level(16)).headline == "Suits 16 concurrent users, but not 32"


def test_an_invalid_level_is_never_used() -> None:
    said = answer(level(16), level(32, verdict="invalid", ttft_s_p95=9.0), verdict="invalid")
    assert said.headline == "Suits at least 16 concurrent users"
    assert "With 32 concurrent users, the numbers are invalid and were not used." in said.sentences


def test_a_suspect_level_is_used_and_named() -> None:
    said = answer(level(16), level(32, verdict="suspect"), verdict="suspect")
    assert said.headline == "Suits at least 32 concurrent users"
    assert "With 32 concurrent users, the numbers are suspect." in said.sentences


def test_a_level_without_numbers_is_left_out_and_named() -> None:
    said = answer(level(16), unmeasured(32, "suspect"), verdict="suspect")
    assert said.headline == "Suits at least 16 concurrent users"
    assert "With 32 concurrent users, there are no numbers to evaluate." in said.sentences


@pytest.mark.parametrize("verdict", ["suspect", "invalid"])
def test_without_a_usable_level_there_is_no_answer(verdict: str) -> None:
    said = answer(unmeasured(1, verdict), unmeasured(2, verdict), verdict=verdict)
    assert said.headline == "No answer: no level has usable numbers"
    assert any("With 1 and 2 concurrent users" in sentence for sentence in said.sentences)


def test_without_any_level_there_is_no_answer() -> None:
    empty = pd.DataFrame([level(1)]).iloc[:0]
    assert conclude(empty, Limits(), "invalid").sentences == ("The run as a whole is invalid.",)


def test_the_first_limit_to_break_is_named_with_its_numbers() -> None:
    assert (
        "With 32 concurrent users, the 95th percentile of the time to first token is 812 ms, more than 500 ms."
        in answer(level(16), level(32, ttft_s_p95=0.812)).sentences
    )


def test_both_limits_are_named_when_they_break_together() -> None:
    said = text(level(16), level(32, ttft_s_p95=0.812, query_tokens_per_s_mean=8.0))
    assert "each query gets 8 tokens/s on average, less than 10 tokens/s and the 95th percentile" in said


def test_a_number_just_past_its_limit_does_not_read_as_the_limit() -> None:
    assert "is 500.1 ms, more than 500 ms" in text(level(1), level(2, ttft_s_p95=0.5001))


def test_large_numbers_are_written_out() -> None:
    assert "is 12,300 ms" in text(level(1), level(2, ttft_s_p95=12.3456))


def test_throughput_that_grows_with_the_users_is_not_saturated() -> None:
    said = answer(level(16, 870), level(32, 1400)).sentences
    assert "From 16 to 32 concurrent users, system throughput grew by 61%: not saturated." in said


def test_throughput_that_hardly_grows_is_saturated() -> None:
    assert "grew by 4%: saturated." in text(level(16, 1000), level(32, 1040))


def test_throughput_that_falls_is_saturated() -> None:
    assert "fell by 10%: saturated." in text(level(16, 1000), level(32, 900))


def test_a_small_step_needs_only_a_small_gain() -> None:
    assert "grew by 3%: not saturated." in text(level(30, 1000), level(32, 1030))


def test_of_two_levels_far_apart_a_doubling_is_what_counts() -> None:
    assert "grew by 200%: not saturated." in text(level(1, 40), level(32, 120))  # 25% for each


def growing(*tokens_per_s: float) -> str:
    """What is said of throughput at 1, 2, 4, … users."""
    sentences = answer(*(level(2**at, tokens) for at, tokens in enumerate(tokens_per_s))).sentences
    return next(sentence for sentence in sentences if "throughput" in sentence)


def test_of_three_levels_and_more_all_say_whether_throughput_still_grows() -> None:
    said = growing(73, 140, 268, 500, 870, 1400)
    assert said.startswith("With 32 concurrent users, system throughput still grows, by 61% for twice the users:")
    assert "not saturated. Up to 64, 42% more is expected (" in said


def test_where_growth_ends_it_is_said_with_an_interval() -> None:
    said = growing(100, 199, 390, 400, 401, 400)
    assert said.startswith("System throughput stops growing at 4 concurrent users (95% interval 2 to 8): saturated.")


def test_a_throughput_that_collapses_is_said_to() -> None:
    assert "With 32, it is 40% lower than at its peak." in growing(100, 199, 390, 400, 330, 240)


def test_one_level_says_nothing_of_growth() -> None:
    assert "throughput" not in text(level(32))


def test_an_invalid_level_takes_no_part_in_growth() -> None:
    assert "From 8 to 32 concurrent users" in text(level(8), level(16, verdict="invalid"), level(32))


def test_failed_requests_are_a_caveat() -> None:
    assert "With 2 concurrent users, some requests failed" in text(level(1), level(2, failed=3))


WITHHELD = {"ttft_s_p95": None, "ttft_s_max": 0.4}


def test_where_the_p95_is_withheld_the_slowest_answer_is_judged() -> None:
    assert answer(level(1, **WITHHELD)).headline == "Suits at least 1 concurrent user"
    assert answer(level(1, **WITHHELD | {"ttft_s_max": 0.6})).headline == "Does not suit even 1 concurrent user"


def test_where_the_p95_is_withheld_the_grounds_speak_of_all_first_tokens() -> None:
    assert "all first tokens come within 400 ms" in text(level(1, **WITHHELD))
    assert "the longest time to first token is 600 ms" in text(level(1, **WITHHELD | {"ttft_s_max": 0.6}))


@pytest.mark.parametrize(("fields", "said"), [(WITHHELD, True), ({}, False)])
def test_a_p95_that_is_withheld_is_a_caveat(fields: dict[str, Any], said: bool) -> None:
    assert ("too few requests completed for a 95th percentile" in text(level(1, **fields))) is said


def said_of(limits: Limits, *levels: dict[str, Any], load: Load | None = None) -> Conclusion:
    return conclude(pd.DataFrame(levels), limits, "valid", load)


def asked(*slos: str, **fields: Any) -> Limits:
    return Limits.model_validate({"slo": slos, **fields})


def test_every_slo_is_judged() -> None:
    levels = level(16, error_rate=0.0), level(32, error_rate=0.02)
    assert said_of(asked("error_rate <= 1%"), *levels).headline == "Suits 16 concurrent users, but not 32"


def test_an_slo_that_is_kept_is_among_the_grounds_and_one_that_breaks_is_named() -> None:
    levels = level(16, error_rate=0.0, e2e_s_p99=2.5), level(32, error_rate=0.02, e2e_s_p99=4.0)
    said = " ".join(said_of(asked("error_rate <= 1%", "e2e_s p99 <= 5"), *levels).sentences)
    assert "the error rate is 0% (SLO: at most 1%)" in said
    assert "and the 99th percentile of the end-to-end latency is 2.5 s (SLO: at most 5 s)." in said
    assert "With 32 concurrent users, the error rate is 2%, more than 1%." in said


@pytest.mark.parametrize(
    ("slo", "fields", "said"),
    [
        (
            "inter_token_s p99 <= 0.1",
            {"inter_token_s_p99": 0.25},
            "99th percentile of the time between tokens is 250 ms",
        ),
        (
            "inter_token_s p99 <= 0.1",
            {"inter_token_s_max": 0.25},
            "the longest time between tokens is 250 ms, more than",
        ),
        (
            "query_tokens_per_s min >= 10",
            {"query_tokens_per_s_min": 4},
            "the least throughput of each query is 4 tokens/s",
        ),
        (
            "e2e_s stddev <= 1",
            {"e2e_s_stddev": 2},
            "the standard deviation of the end-to-end latency is 2 s, more than 1 s",
        ),
        ("ttft_s mean <= 0.1", {"ttft_s_mean": 0.2}, "the mean time to first token is 200 ms, more than 100 ms"),
        ("system_tokens_per_s >= 5000", {}, "the system throughput is 60 tokens/s, less than 5,000 tokens/s"),
        ("kv_cache_usage_max <= 0.9", {"kv_cache_usage_max": 0.95}, "the fullest KV cache is 95%, more than 90%"),
    ],
)
def test_an_slo_that_breaks_is_said_in_its_own_words(slo: str, fields: dict[str, Any], said: str) -> None:
    assert said in " ".join(said_of(asked(slo), level(1, **fields)).sentences)


def test_the_limits_may_be_drawn_and_not_judged() -> None:
    limits = asked("e2e_s p99 <= 5", slo_only=True)
    found = said_of(limits, level(8, ttft_s_p95=9.0, e2e_s_p99=1.0))
    assert found.headline == "Suits at least 8 concurrent users"
    assert "first tokens" not in " ".join(found.sentences)


def test_a_bound_of_seconds_is_said_in_seconds() -> None:
    assert "95% of first tokens come within 0.09 s (SLO: at most 2 s)" in " ".join(
        said_of(Limits(ttft_s=2), level(1)).sentences
    )


def test_a_level_without_a_number_that_is_asked_for_is_left_out_and_named() -> None:
    found = said_of(asked("kv_cache_usage_max <= 0.9"), level(1, kv_cache_usage_max=0.1), level(2))
    assert found.headline == "Suits at least 1 concurrent user"
    assert "With 2 concurrent users, there are no numbers to evaluate." in found.sentences


def test_another_percentile_that_is_withheld_is_a_caveat_of_its_own() -> None:
    found = said_of(asked("e2e_s p99 <= 5"), level(1, e2e_s_max=1.0), level(2, e2e_s_p99=1.0))
    assert (
        "With 1 concurrent user, too few requests completed for the 99th percentile of the end-to-end latency: "
        "the longest end-to-end latency was evaluated."
    ) in found.sentences


CLIMB = Load(levels=(1, 2, 4, 8), stop_below_query_tokens_per_s=10)


def test_levels_that_a_slow_one_stopped_are_named_with_the_reason() -> None:
    found = said_of(Limits(), level(1), level(2, query_tokens_per_s_mean=8.5), load=CLIMB)
    assert (
        "With 4 and 8 concurrent users, nothing was measured: with 2, each query got 8.5 tokens/s on average, "
        "below the stop limit of 10 tokens/s."
    ) in found.sentences


@pytest.mark.parametrize("load", [None, Load(levels=(1, 2, 4, 8)), CLIMB.model_copy(update={"levels": (1, 2)})])
def test_where_nothing_was_stopped_nothing_is_said_of_it(load: Load | None) -> None:
    found = said_of(Limits(), level(1), level(2, query_tokens_per_s_mean=8.5), load=load)
    assert "nothing was measured" not in " ".join(found.sentences)


def test_the_levels_of_a_caveat_are_listed() -> None:
    said = text(*(level(n, **WITHHELD) for n in (1, 2, 4)), level(8))
    assert "With 1, 2 and 4 concurrent users, too few requests completed for a 95th percentile" in said


def test_time_stamps_from_user_space_are_a_caveat() -> None:
    assert "not the kernel's" in text(level(1, timestamps="user"))


def test_a_clean_run_has_no_caveats() -> None:
    assert len(answer(level(16), level(32)).sentences) == 2  # the best level, and growth


def test_a_verdict_that_no_level_explains_is_said() -> None:
    assert "The run as a whole is suspect." in answer(level(1), verdict="suspect").sentences


@given(st.lists(st.tuples(st.floats(1, 100), st.floats(0.001, 2)), min_size=1, max_size=6))
def test_the_answer_never_exceeds_the_first_level_that_breaks(numbers: list[tuple[float, float]]) -> None:
    nan = float("nan")  # growth is another matter, and takes long
    levels = [level(n, nan, query_tokens_per_s_mean=q, ttft_s_p95=t) for n, (q, t) in enumerate(numbers, start=1)]
    broken = next((n for n, (q, t) in enumerate(numbers, start=1) if q < 10 or t > 0.5), None)
    expected = {None: f"at least {len(levels)} ", 1: "even 1 "}.get(broken, f"but not {broken}")
    assert expected in answer(*levels).headline + " "
