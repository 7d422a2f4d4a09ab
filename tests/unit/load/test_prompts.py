"""Requests have the wanted lengths, never repeat, and come back with their seed."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapebench.apis.target import PlannedRequest
from shapebench.load.prompts import RequestMix
from shapebench.runs.prompt_sizing import MIN_WORDS, PromptSizing, candidate_words, single_token_words
from shapebench.spec.lengths import Lengths
from tests.examples import examples

WORDS = candidate_words()
EXACT = PromptSizing(WORDS, fixed_tokens=11, exact=True)
SEEDS = st.integers(0, 2**48)
QUICKLY = settings(deadline=None, max_examples=examples(30))


def asks(
    seed: int = 1, concurrency: int = 4, warmup: int = 8, measured: int = 50, sizing: PromptSizing = EXACT
) -> list[PlannedRequest]:
    mix = RequestMix(sizing, Lengths(200, 40), Lengths(100, 10), seed)
    return [mix.request(index, concurrency, warmup=warmup) for index in range(warmup + measured)]


def test_there_are_enough_candidates_and_each_only_once() -> None:
    assert len(WORDS) > 400
    assert len(set(WORDS)) == len(WORDS)


def test_warm_up_comes_first_and_counts_on() -> None:
    made = asks(warmup=8, measured=50)
    assert [ask.index for ask in made] == list(range(58))
    assert [ask.warmup for ask in made] == [True] * 8 + [False] * 50


@QUICKLY
@given(SEEDS)
def test_a_seed_repeats_its_requests(seed: int) -> None:
    assert asks(seed) == asks(seed)


@QUICKLY
@given(st.lists(SEEDS, min_size=2, max_size=3, unique=True))
def test_prompts_repeat_neither_between_seeds_nor_between_levels(seeds: list[int]) -> None:
    prompts = [ask.prompt for seed in seeds for level in (1, 2, 4) for ask in asks(seed, level)]
    assert len(set(prompts)) == len(prompts)


def test_the_shortest_prompts_do_not_repeat_either() -> None:
    mix = RequestMix(EXACT, Lengths(1, 0), Lengths(1, 0), seed=1)
    prompts = {mix.request(index, 1, warmup=0).prompt for index in range(20_000)}
    assert len(prompts) == 20_000


def test_a_prompt_is_never_shorter_than_what_keeps_it_unique() -> None:
    mix = RequestMix(EXACT, Lengths(1, 0), Lengths(1, 0), seed=1)
    ask = mix.request(0, 1, warmup=0)
    assert (ask.input_tokens, len(ask.prompt.split())) == (11 + MIN_WORDS, 1 + MIN_WORDS)


@QUICKLY
@given(st.integers(19, 2000), st.randoms(use_true_random=False))
def test_where_each_word_is_a_token_a_prompt_has_exactly_the_tokens_asked_for(tokens: int, rng: random.Random) -> None:
    words = EXACT.prompt(tokens, rng).split()
    assert EXACT.fixed_tokens + len(words) - 1 == tokens


@QUICKLY
@given(st.integers(100, 2000), st.floats(0.5, 3), st.randoms(use_true_random=False))
def test_an_estimated_prompt_is_within_a_word_of_the_tokens_asked_for(
    tokens: int, tokens_per_word: float, rng: random.Random
) -> None:
    sizing = PromptSizing(WORDS, fixed_tokens=30, tokens_per_word=tokens_per_word)
    words = len(sizing.prompt(tokens, rng).split()) - 1
    assert abs(30 + words * tokens_per_word - tokens) <= tokens_per_word


def test_every_prompt_opens_with_the_same_word_whose_cost_is_known() -> None:
    assert {ask.prompt.split()[0] for ask in asks()} == {WORDS[0]}


def test_lengths_are_those_of_the_distribution() -> None:
    made = asks(measured=3000, warmup=0)
    inputs = [ask.input_tokens for ask in made]
    outputs = [ask.output_tokens for ask in made]
    assert sum(inputs) / 3000 == pytest.approx(200, abs=4)
    assert sum(outputs) / 3000 == pytest.approx(100, abs=1)
    assert (min(inputs) >= 40, max(inputs) <= 360) == (True, True)


@QUICKLY
@given(st.floats(0.1, 1000), st.floats(0, 1000), st.randoms(use_true_random=False))
def test_a_length_is_never_below_one_nor_outside_four_deviations(
    mean: float, stddev: float, rng: random.Random
) -> None:
    lengths = Lengths(mean, stddev)
    drawn = lengths.draw(rng)
    assert 1 <= lengths.min_tokens <= drawn <= lengths.max_tokens
    assert drawn <= max(1, mean + 4 * stddev + 0.5)


def test_without_a_deviation_every_length_is_the_mean() -> None:
    mix = RequestMix(EXACT, Lengths(200, 0), Lengths(100, 0), seed=1)
    made = [mix.request(index, 1, warmup=0) for index in range(20)]
    assert {(ask.input_tokens, ask.output_tokens) for ask in made} == {(200, 100)}


def test_the_first_request_of_each_stream_is_cut_to_spread_the_streams() -> None:
    made = asks(concurrency=32, warmup=64, measured=10)
    first, second = made[:32], made[32:64]
    assert sum(ask.output_tokens for ask in first) < 0.8 * sum(ask.output_tokens for ask in second)
    assert all(ask.output_tokens >= 1 for ask in first)


def test_measured_requests_are_never_cut() -> None:
    assert all(ask.output_tokens >= 60 for ask in asks(concurrency=32, warmup=0, measured=64))


def test_a_request_is_the_same_in_whatever_order_it_is_made() -> None:
    mix = RequestMix(EXACT, Lengths(200, 40), Lengths(100, 10), seed=1)
    backwards = [mix.request(index, 4, warmup=8) for index in reversed(range(58))]
    assert backwards[::-1] == asks()


def test_the_millionth_request_needs_none_of_those_before_it() -> None:
    mix = RequestMix(EXACT, Lengths(200, 40), Lengths(100, 10), seed=1)
    assert mix.request(10**6, 4, warmup=8).index == 10**6


def tokens_of(text: str) -> int:
    """A tokenizer to which every word of more than four letters is two tokens."""
    return sum(1 + (len(word) > 4) for word in text.split())


@QUICKLY
@given(st.lists(st.text("ab", min_size=1, max_size=8), unique=True, max_size=40))
def test_the_words_found_are_just_those_of_one_token(words: list[str]) -> None:
    expected = tuple(word for word in words if tokens_of(word) == 1)
    assert single_token_words(tuple(words), tokens_of) == expected


def test_words_of_one_token_each_are_found_with_a_single_question() -> None:
    asked: list[str] = []

    def count(text: str) -> int:
        asked.append(text)
        return len(text.split())

    assert single_token_words(WORDS, count) == WORDS
    assert len(asked) == 1
    assert asked[0].startswith(f" {WORDS[0]} ")
