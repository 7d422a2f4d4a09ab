"""Numbers that mean "not known" are left out, and answers that were not streamed are marked."""

from collections.abc import Sequence

import pytest

from shapebench.results.imports.answers import Answer, checked, summarise
from shapebench.results.imports.not_known import leave_out_not_known
from shapebench.results.imports.numbers import Number
from shapebench.results.imports.tool import Level, Origin


def of(numbers: Sequence[Number] = (), answers: Sequence[Answer] = (), done: int | None = 3, failed: int = 0) -> Level:
    level = Level(Origin(), (), 4, done, failed, numbers or summarise(answers, {}), answers)
    return leave_out_not_known(level)


def left(level: Level) -> set[tuple[str, str]]:
    return {(number.metric, number.stat) for number in level.numbers}


def stats(metric: str, **values: float) -> list[Number]:
    return [Number(metric, stat, value) for stat, value in values.items()]


@pytest.mark.parametrize("metric", ["ttft_s", "e2e_s", "tpot_s", "inter_token_s", "output_tokens", "input_tokens"])
def test_a_mean_of_zero_is_not_known_nor_is_what_stands_beside_it(metric: str) -> None:
    assert left(of(stats(metric, mean=0.0, stddev=0.0, min=0.0, max=0.0))) == set()


@pytest.mark.parametrize("metric", ["system_tokens_per_s", "requests_per_min"])
def test_a_rate_of_zero_is_not_known(metric: str) -> None:
    assert left(of(stats(metric, total=0.0))) == set()


def test_an_error_rate_of_zero_is_a_value() -> None:
    assert left(of(stats("error_rate", total=0.0))) == {("error_rate", "total")}


def test_no_spread_and_no_gap_are_values() -> None:
    found = of([*stats("output_tokens", mean=6.0, stddev=0.0), *stats("inter_token_s", mean=0.01, min=0.0, p50=0.0)])
    assert len(found.numbers) == 5


def test_where_nothing_completed_only_the_error_rate_is_known() -> None:
    numbers = [*stats("ttft_s", mean=0.5), *stats("system_tokens_per_s", total=1.0), *stats("error_rate", total=1.0)]
    assert left(of(numbers, done=0, failed=3)) == {("error_rate", "total")}


def test_a_least_time_of_zero_shows_that_requests_without_an_answer_count() -> None:
    found = of(stats("ttft_s", mean=0.5, min=0.0))
    assert {number.differs for number in found.numbers} == {"requests without an answer are in it as 0 s"}


def test_times_of_zero_of_single_requests_are_not_known() -> None:
    (one,) = checked([Answer(ttft_s=0.0, e2e_s=0.0, output_tokens=6)])
    assert (one.ttft_s, one.e2e_s) == (None, None)


def equal(count: int, tokens: int | None = 6) -> list[Answer]:
    return [Answer(ttft_s=1.0 + n, e2e_s=1.0 + n, output_tokens=tokens) for n in range(count)]


def test_a_first_token_at_the_end_of_every_answer_is_marked() -> None:
    found = of(answers=equal(3))
    assert [caveat.name for caveat in found.caveats] == ["answers_not_streamed"]
    assert set(found.differs) >= {"ttft_s", "tpot_s"}
    assert {number.differs is None for number in found.numbers if number.metric == "ttft_s"} == {False}
    assert {number.differs for number in found.numbers if number.metric == "e2e_s"} == {None}


def test_one_answer_that_was_streamed_shows_that_all_were() -> None:
    assert of(answers=[*equal(2), Answer(ttft_s=1.0, e2e_s=2.0, output_tokens=6)]).caveats == ()


def test_of_answers_of_one_token_the_first_is_the_last() -> None:
    assert of(answers=equal(3, tokens=1)).caveats == ()
    assert of([*stats("ttft_s", mean=1.0), *stats("e2e_s", mean=1.0), *stats("output_tokens", mean=1.0)]).caveats == ()


def test_equal_stats_of_a_summary_are_marked() -> None:
    same = {"mean": 1.0, "p50": 1.5, "max": 2.0}
    assert of([*stats("ttft_s", **same), *stats("e2e_s", **same)]).caveats
    assert not of([*stats("ttft_s", **same), *stats("e2e_s", **same | {"max": 3.0})]).caveats


def test_failed_requests_do_not_count() -> None:
    assert of(answers=[*equal(2), Answer(error_kind="reported")]).caveats
