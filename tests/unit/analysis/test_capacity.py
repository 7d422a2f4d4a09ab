"""The search for the highest concurrency: its steps on curves that are known, and what it takes a level for."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapebench.analysis.capacity.confidence import with_confidence
from shapebench.analysis.capacity.search import (
    MAX_LEVELS,
    MAX_REPEATS,
    Outcome,
    SearchResult,
    Step,
    next_step,
    search_result,
)
from shapebench.analysis.capacity.steps import begin, longer, run_for_step
from shapebench.analysis.capacity.wording import describe_outcome, sentences
from shapebench.analysis.conclusion import Conclusion
from shapebench.analysis.measured_level import MeasuredLevel, evaluate_level, summarise_level
from shapebench.results.database import load, query
from shapebench.results.rows import tables
from shapebench.runs import run_file
from shapebench.runs.records import Run
from shapebench.runs.run_file import RunFile, save
from shapebench.runs.samples_file import Sample
from shapebench.spec.model import Limits, Load, Search
from shapebench.spec.slo import LevelResult, Slo, SloResult, parse
from tests.level_sample import FACTS, RUN_ID, closed_loop, level, refused, request, run, verdict
from tests.stored_run import store_run

SLO = "ttft_s p95 <= 0.5"
Measure = Callable[[Step], Outcome]


def says(concurrency: int, margin: float, width: float = 0.0) -> Outcome:
    return Outcome(concurrency, margin, margin - width, margin + width, SLO)


def nothing(concurrency: int) -> Outcome:
    return says(concurrency, math.nan)


def searched(measure: Measure, least: int = 1, most: int = 1024) -> list[Outcome]:
    """All that a search measures, of whatever `measure` makes of a level."""
    said: list[Outcome] = []
    while step := next_step(said, least, most):
        said.append(measure(step))
    return said


def server(limit: int, slope: float = 1.0) -> Measure:
    """One that keeps the SLO with so many streams, and not with one more; its margins are known without a doubt."""
    return lambda step: says(step.concurrency, slope * (limit + 0.5 - step.concurrency) / max(limit, 1))


def levels(said: list[Outcome]) -> set[int]:
    return {one.concurrency for one in said}


@pytest.mark.parametrize("limit", [*range(70), *range(70, 1025, 7), 1023, 1024])
def test_the_limit_is_found_within_a_stream_or_three_percent(limit: int) -> None:
    said = searched(server(limit))
    answer = search_result(said, 1).greatest
    assert answer is not None
    assert limit - max(1, 0.03 * limit) <= answer <= limit
    assert len(levels(said)) <= MAX_LEVELS


@pytest.mark.parametrize("limit", range(34))
def test_a_small_limit_is_found_to_the_stream(limit: int) -> None:
    assert search_result(searched(server(limit)), 1).greatest == limit


def test_it_leaps_up_first_and_halves_then() -> None:
    assert [one.concurrency for one in searched(server(40))] == [8, 64, 32, 45, 38, 41, 39]


def test_it_measures_a_level_once_where_there_is_no_doubt() -> None:
    said = searched(server(300))
    assert len(said) == len(levels(said))


@pytest.mark.parametrize("most", [1, 7, 64, 100, 1024])
def test_where_all_levels_keep_the_slo_it_ends_at_the_greatest(most: int) -> None:
    said = searched(server(10_000), most=most)
    assert search_result(said, 1) == SearchResult(most, most, None, None)


def test_where_one_stream_does_not_keep_it_the_answer_is_none_at_all() -> None:
    assert search_result(searched(server(0)), 1) == SearchResult(0, None, 1, SLO)


def test_below_where_it_begins_nothing_is_known() -> None:
    said = searched(server(20), least=50, most=200)
    assert min(levels(said)) == 50
    assert search_result(said, 50).greatest is None


@pytest.mark.parametrize(("least", "most"), [(16, 64), (30, 50), (5, 5), (100, 1000)])
def test_it_stays_between_its_bounds(least: int, most: int) -> None:
    for limit in range(least, most + 1, 3):
        said = searched(server(limit), least, most)
        assert all(least <= one.concurrency <= most for one in said)
        answer = search_result(said, least).greatest
        assert answer is not None
        assert abs(answer - limit) <= max(1, 0.03 * limit)


# Noise


def test_a_level_whose_interval_reaches_across_the_bound_is_measured_once_more_and_longer() -> None:
    assert next_step([says(8, 0.1, 0.2)], 1, 64) == Step(8, again=True, longer=True)
    assert next_step([says(8, 0.1, 0.2), says(8, 0.1, 0.2)], 1, 64) == Step(64)


def test_a_level_that_says_nothing_is_measured_once_more() -> None:
    assert next_step([nothing(8)], 1, 64) == Step(8, again=True)


def test_one_that_says_nothing_again_is_not_passed() -> None:
    said = searched(lambda step: nothing(64) if step.concurrency == 64 else says(step.concurrency, 0.5), most=256)
    assert max(levels(said)) == 64
    assert search_result(said, 1) == SearchResult(62, 62, None, None, unusable=(64,))


def test_the_second_measurement_counts() -> None:
    assert search_result([says(8, -0.1, 0.2), says(8, 0.1)], 1).greatest == 8


def test_levels_are_not_measured_again_without_end() -> None:
    said = searched(lambda step: says(step.concurrency, (40.5 - step.concurrency) / 40, 9.0))
    assert len(said) - len(levels(said)) == MAX_REPEATS


def test_the_sign_of_its_margin_decides_where_doubt_remains() -> None:
    said = searched(lambda step: says(step.concurrency, (40.5 - step.concurrency) / 40, 0.05))
    answer = search_result(said, 1)
    assert answer.greatest == pytest.approx(40, abs=1)
    assert (answer.confident_pass, answer.confident_fail) == (38, 45)


def test_the_interval_is_of_levels_about_which_there_is_no_doubt() -> None:
    said = [says(8, 0.9), says(64, -0.9), says(32, 0.1, 0.2), says(45, -0.1, 0.2)]
    assert search_result(said, 1) == SearchResult(32, 8, 64, SLO)


MARGINS = st.tuples(st.integers(0, 1200), st.floats(0.2, 5), st.floats(0, 2), st.lists(st.floats(-1, 1), min_size=14))


@given(MARGINS)
def test_whatever_the_noise_it_ends_soon_and_its_interval_holds_the_limit(
    made: tuple[int, float, float, list[float]],
) -> None:
    limit, slope, noise, strays = made
    truly, errors = server(limit, slope), iter(strays)

    def measure(step: Step) -> Outcome:
        width = noise / 2 if step.longer else noise
        return says(step.concurrency, truly(step).margin + width * next(errors), width)

    said = searched(measure)
    answer = search_result(said, 1)
    assert len(levels(said)) <= MAX_LEVELS
    assert len(said) <= MAX_LEVELS + MAX_REPEATS
    assert (answer.confident_pass or 0) <= limit
    assert limit < (answer.confident_fail or math.inf)
    assert (answer.confident_pass or 0) <= (answer.greatest or 0)


@given(st.integers(0, 1024), st.floats(0.5, 5), st.lists(st.floats(-1, 1), min_size=14))
def test_with_little_noise_the_limit_is_found_within_a_stream_or_three_percent(
    limit: int, slope: float, strays: list[float]
) -> None:
    """Margins are off by up to what a third of a stream makes, or of a percent of them."""
    truly, errors = server(limit, slope), iter(strays)
    noise = slope * max(0.3 / max(limit, 1), 0.003)

    def measure(step: Step) -> Outcome:
        return says(step.concurrency, truly(step).margin + noise * next(errors), noise)

    answer = search_result(searched(measure), 1).greatest
    assert answer is not None
    assert abs(answer - limit) <= max(1, 0.035 * limit)


@given(st.lists(st.tuples(st.integers(1, 99), st.floats(-1, 1)), max_size=12))
def test_whatever_was_measured_before_there_is_a_next_step_or_an_answer(before: list[tuple[int, float]]) -> None:
    said = [says(*one) for one in before]
    step = next_step(said, 1, 99)
    assert step is None or 1 <= step.concurrency <= 99
    assert search_result(said, 1).greatest is not None


# What a level says


def judged_with(samples: list[Sample], folder: Path, *slos: str) -> LevelResult:
    m = summarise_level(level(folder, 2, samples))
    return evaluate_level([parse(slo) for slo in slos], m, verdict([m]))


def only(judged: LevelResult) -> SloResult:
    (held,) = judged.results
    return held


def waits(ttfts_s: list[float]) -> list[Sample]:
    """Two streams, each with half of these times to first token; whole answers of two tokens."""
    made, free_s = [], [0.0, 0.0]
    for index, ttft_s in enumerate(ttfts_s):
        stream = index % 2
        made.append(request(index, free_s[stream], [ttft_s, ttft_s + 0.1], stream=stream))
        free_s[stream] += ttft_s + 0.1
    return made


SPREAD = [0.1 + 0.001 * (index * 37 % 100) for index in range(400)]  # evenly from 0.1 to 0.2, in no order


@pytest.mark.parametrize(
    ("slo", "true"),
    [
        ("ttft_s p95 <= 0.5", 0.195),
        ("ttft_s p50 <= 0.5", 0.15),
        ("ttft_s mean <= 0.5", 0.1495),
        ("time_to_first_answer_s p95 <= 0.5", 0.195),
        ("inter_token_s p90 <= 0.5", 0.1),
        ("inter_token_s mean <= 0.5", 0.1),
    ],
)
def test_the_interval_of_a_number_holds_it_and_is_narrow(slo: str, true: float, tmp_path: Path) -> None:
    held = only(judged_with(waits(SPREAD), tmp_path, slo))
    assert held.low - 1e-6 <= true <= held.high + 1e-6
    assert held.high - held.low < 0.02


def test_answers_that_are_all_reasoning_have_no_part_in_the_time_to_the_answer(tmp_path: Path) -> None:
    made = [replace(one, reasoning_tokens=2 if one.request_index % 4 == 0 else None) for one in waits(SPREAD)]
    held = only(judged_with(made, tmp_path, "time_to_first_answer_s mean <= 0.5"))
    assert held.low <= held.value <= held.high < 0.2


def test_a_share_has_wilsons_interval(tmp_path: Path) -> None:
    made = [*waits([0.1] * 98), refused(98, 3.0), refused(99, 3.1)]
    held = only(judged_with(made, tmp_path, "error_rate <= 0.5"))
    assert (held.value, held.low, held.high) == pytest.approx((0.02, 0.0055, 0.07), abs=5e-4)


def test_a_throughput_has_that_of_its_steady_window(tmp_path: Path) -> None:
    held = only(judged_with(closed_loop(2, requests_each=50), tmp_path, "system_tokens_per_s >= 1"))
    assert 0.9 * held.value < held.low <= held.value <= held.high < 1.1 * held.value


def test_a_throughput_of_which_too_little_is_known_is_in_doubt(tmp_path: Path) -> None:
    said = Outcome.of_level(judged_with(closed_loop(2), tmp_path, "system_tokens_per_s >= 1"), "valid")
    assert (said.passes, said.is_uncertain) == (True, True)


def test_what_is_counted_once_is_all_there_is(tmp_path: Path) -> None:
    held = only(judged_with(closed_loop(2), tmp_path, "ttft_s max <= 1"))
    assert held.low == held.value == held.high


@pytest.mark.parametrize(
    ("ttfts_s", "sure"),
    [([0.1] * 10, "keeps"), ([0.9] * 10, "fails"), ([0.1] * 9 + [0.9], "neither")],
)
def test_of_too_few_requests_for_a_percentile_all_or_none_must_keep_the_bound(
    ttfts_s: list[float], sure: str, tmp_path: Path
) -> None:
    said = Outcome.of_level(judged_with(waits(ttfts_s), tmp_path, SLO), "valid")
    assert {"keeps": said.passes_with_confidence, "fails": said.fails_with_confidence, "neither": said.is_uncertain}[
        sure
    ]


def test_of_too_few_requests_for_a_mean_it_may_lie_anywhere_between_them(tmp_path: Path) -> None:
    held = only(judged_with(waits([0.1, 0.2, 0.6]), tmp_path, "ttft_s mean <= 0.5"))
    assert (held.low, held.high) == pytest.approx((0.1, 0.6))


TIGHT, LOOSE = Slo("ttft_s", "p95", "<=", 0.5), Slo("query_tokens_per_s", "mean", ">=", 10)


def test_of_several_slos_the_least_margin_counts_and_names_the_slo() -> None:
    held = SloResult(TIGHT, "p95", 0.45, 0.4, 0.55), SloResult(LOOSE, "mean", 20, 10.5, 30)
    said = Outcome.of_level(LevelResult(8, held), "valid")
    assert (said.slo, said.margin) == (SLO, pytest.approx(0.1))
    assert (said.low, said.high) == pytest.approx((-0.1, 0.2))


@pytest.mark.parametrize(("standing", "usable"), [("valid", True), ("suspect", True), ("invalid", False)])
def test_an_invalid_level_says_nothing(standing: Any, usable: bool) -> None:
    said = Outcome.of_level(LevelResult(8, (SloResult(TIGHT, "p95", 0.4, 0.4, 0.4),)), standing)
    assert said.is_usable is usable
    assert said.passes is usable


def test_a_level_without_a_number_says_nothing(tmp_path: Path) -> None:
    assert not Outcome.of_level(judged_with([refused(0, 0.0)], tmp_path, SLO), "valid").is_usable


def test_a_level_without_samples_stays_as_it_is_judged() -> None:
    judged = LevelResult(8, (SloResult(TIGHT, "p95", math.nan, math.nan, math.nan),))
    assert with_confidence(judged, None) is judged


# A step


@pytest.fixture
def begun(tmp_path: Path) -> Run:
    """A run with level 8 measured."""
    made = run(tmp_path)
    made.folder.mkdir(parents=True)
    save(RunFile(made, FACTS, (level(tmp_path, 8, closed_loop(8)),)))
    return made


def stored(begun: Run) -> RunFile:
    return run_file.load(begun.spec.data, begun.run_id)


def test_a_run_names_the_levels_of_its_search_as_they_come(begun: Run) -> None:
    begin(begun, Step(64))
    assert stored(begun).run.spec.load.levels == (8, 64)
    assert stored(begun).to_measure == (64,)


def test_its_requests_are_enough_for_all_streams(begun: Run) -> None:
    few = replace(begun, spec=begun.spec.model_copy(update={"load": Load(levels=(8,), requests=20)}))
    assert begin(few, Step(64)).spec.load.requests_at(64) == 64


def test_what_was_measured_first_stays_under_another_name(begun: Run) -> None:
    begin(begun, Step(8, again=True))
    (first,) = stored(begun).levels
    assert first.samples == begun.folder / "level-0008.first.parquet"
    assert first.samples.exists()
    assert not begun.samples_at(8).exists()
    assert first.server_metrics == begun.folder / "server-0008.first.parquet"
    assert first.server_metrics.exists()


def test_of_a_level_that_was_measured_again_the_second_is_the_runs(begun: Run) -> None:
    begin(begun, Step(8, again=True))
    second = level(begun.spec.data, 8, closed_loop(8))
    run_file.keep(begun, second)
    assert len(stored(begun).levels) == 2
    assert [measured.samples for measured in stored(begun).measured] == [begun.samples_at(8)]


def test_a_level_is_measured_as_the_spec_says(begun: Run) -> None:
    assert run_for_step(begun, Step(8)) is begun


@pytest.mark.parametrize("long", [False, True])
def test_a_level_that_is_measured_again_has_prompts_of_its_own(long: bool, begun: Run) -> None:
    assert run_for_step(begun, Step(8, again=True, longer=long)).seed != begun.seed


def test_only_where_there_was_doubt_it_is_measured_for_longer(begun: Run) -> None:
    asked = [run_for_step(begun, Step(8, again=True, longer=long)).spec.load.requests_at(8) for long in (False, True)]
    assert asked == [240, 960]


@pytest.mark.parametrize(
    ("asked", "requests", "duration_s", "until_precise"),
    [
        ({}, 960, None, None),
        ({"requests": 50}, 200, None, None),
        ({"requests_per_stream": 10}, 320, None, None),
        ({"duration_s": 5}, None, 20, None),
        ({"until_precise": 0.02}, None, 2400, 0.01),
    ],
)
def test_longer_is_four_times_as_long(
    asked: dict[str, Any], requests: int | None, duration_s: float | None, until_precise: float | None
) -> None:
    load = longer(Load(levels=(8,), **asked), 8)
    assert (load.requests_at(8), load.duration_at(8), load.until_precise) == (requests, duration_s, until_precise)


# In words, and in the results file

LABEL = "TTFT p95 ≤ 500 ms"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            SearchResult(40, 38, 43, SLO),
            (
                "All SLOs are met with up to 40 concurrent users (95% confidence: met with 38, missed with 43). "
                f"Limiting SLO: {LABEL}."
            ),
        ),
        (
            SearchResult(4, None, 9, None),
            "All SLOs are met with up to 4 concurrent users (95% confidence: missed with 9).",
        ),
        (SearchResult(0, None, 1, SLO), f"1 concurrent user already misses {LABEL}."),
        (SearchResult(None, None, 16, SLO), "16 concurrent users already miss an SLO; fewer were not measured."),
        (
            SearchResult(1024, 1024, None, None),
            "All SLOs are met with 1,024 concurrent users; more were not measured.",
        ),
        (
            SearchResult(40, 40, None, None, (64,)),
            (
                "All SLOs are met with up to 40 concurrent users. "
                "The numbers with 64 concurrent users were invalid and were not used."
            ),
        ),
    ],
)
def test_an_answer_is_put_in_words(answer: SearchResult, said: str) -> None:
    assert " ".join(sentences(answer, 1 if answer.greatest is not None else 16, 1024)) == said


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (says(8, 0.25), f"meets {LABEL} by 25%"),
        (says(8, -0.25, 0.5), f"misses {LABEL} by 25%, but its 95% interval includes the bound"),
        (nothing(8), "the numbers cannot be used"),
    ],
)
def test_what_a_level_says_is_put_in_words(said: Outcome, words: str) -> None:
    assert describe_outcome(said) == words


def test_the_results_file_has_what_a_search_found(tmp_path: Path) -> None:
    rows = stored_search(tmp_path, {1: waits([0.1] * 100), 2: waits([0.9] * 100)})
    assert rows == [
        {
            "run_id": RUN_ID,
            "greatest_concurrency": 1,
            "confident_pass": 1,
            "confident_fail": 2,
            "limited_by": SLO,
            "unusable": [],
            "min_level": 1,
            "max_level": 64,
        }
    ]


def test_a_run_that_searched_for_nothing_has_found_nothing(tmp_path: Path) -> None:
    store_run(tmp_path)
    assert query(tmp_path, "FROM searches").to_pylist() == []


def test_an_answer_is_read_back_from_the_results_file(tmp_path: Path) -> None:
    (row,) = stored_search(tmp_path, {1: waits([0.1] * 100), 2: waits([0.9] * 100)})
    assert SearchResult.from_row(row) == SearchResult(1, 1, 2, SLO)


def stored_search(data: Path, samples: dict[int, list[Sample]]) -> list[dict[str, Any]]:
    """The row of a search whose levels have these samples; all else of the run is as ever."""
    of_run: list[MeasuredLevel] = [summarise_level(level(data, n, made)) for n, made in samples.items()]
    plain = run(data)
    limits = Limits(slo=(parse(SLO),), slo_only=True)
    spec = plain.spec.model_copy(update={"search": Search(max_level=64), "limits": limits})
    made = replace(plain, spec=spec)
    load(data, RUN_ID, tables(made, FACTS, of_run, verdict(of_run), Conclusion("", ())))
    return query(data, "SELECT * EXCLUDE (started_at, model, shape, workload) FROM searches").to_pylist()
