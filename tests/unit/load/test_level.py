"""A level against a server that counts: how many are in flight, which prompts come, and what becomes of failures."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from shapebench.apis.target import Credentials, Target
from shapebench.load.counters import Progress, sum_progress
from shapebench.load.level import Level
from shapebench.load.plan import LevelPlan
from shapebench.load.prompts import RequestMix
from shapebench.runs.prompt_sizing import PromptSizing
from shapebench.runs.samples_file import Sample
from shapebench.spec.lengths import Lengths
from shapebench.support.timestamps import clock_ns
from tests.scripted_server import CHUNKED_ANSWER, Played, Script, error, forever, reset, send, served, until
from tests.unit.load.test_http_connection import unanswering

WORDS = tuple(f"w{number}" for number in range(200))
ANSWER: Script = [send(CHUNKED_ANSWER)]
REFUSAL: Script = [send(error("503 Service Unavailable", {"error": {"message": "busy"}}))]


def plan(url: str, concurrency: int = 4, **changes: Any) -> LevelPlan:
    mix = RequestMix(PromptSizing(WORDS), Lengths(20, 4), Lengths(10, 2), seed=changes.pop("seed", 1))
    return LevelPlan(
        **{
            "target": Target(url=url, model="m", api="chat"),
            "mix": mix,
            "concurrency": concurrency,
            "requests": 40,
            "warmup_requests": 8,
            "request_timeout_s": 30,
            "samples": "",
            **changes,
        }
    )


class Kept(Level):
    """A level whose samples stay in memory."""

    def __init__(self, plan: LevelPlan, credentials: Credentials | None = None) -> None:
        self.samples: list[Sample] = []
        super().__init__(plan, credentials or Credentials(), self.samples.append)

    def measure(self) -> "Kept":
        self.connect()
        self.run(clock_ns())
        self.loop.close()
        return self

    def progress(self) -> Progress:
        return sum_progress([self.tally], self._plan.requests)


def measured(script_of: Callable[[int], Script], **changes: Any) -> tuple[Kept, Played]:
    with served(script_of) as played:
        return Kept(plan(played.url, **changes)).measure(), played


def kinds(samples: list[Sample]) -> Counter[str | None]:
    return Counter(made.error_kind for made in samples)


@pytest.mark.parametrize("concurrency", [1, 4, 17])
def test_exactly_the_planned_requests_are_sent(concurrency: int) -> None:
    level, played = measured(lambda _: ANSWER, concurrency=concurrency)
    assert len(played.requests) == len(level.samples) == 48
    assert sorted(made.request_index for made in level.samples) == list(range(48))
    assert played.connections == concurrency


def test_the_warm_up_comes_first_and_is_flagged() -> None:
    level, _ = measured(lambda _: ANSWER)
    assert [made.warmup for made in sorted(level.samples, key=lambda made: made.request_index)] == [True] * 8 + [
        False
    ] * 40
    by_time = sorted(level.samples, key=lambda made: made.sent_at_ns)
    assert {made.request_index for made in by_time[:4]} == {0, 1, 2, 3}


def test_the_warm_up_hands_the_streams_over_without_waiting_for_the_last_of_it() -> None:
    """Three of the four streams are held in their warm-up until the fourth has sent measured requests."""
    gate = asyncio.Event()

    def script_of(number: int) -> Script:
        if number == 20:
            gate.set()
        return [until(gate), *ANSWER] if number in (1, 2, 3) else ANSWER

    level, _ = measured(script_of, warmup_requests=4)
    assert kinds(level.samples) == {None: 44}


@pytest.mark.parametrize("streams", [1, 5, 17])
def test_just_as_many_are_in_flight_as_asked_for_from_the_warm_up_on_and_a_finished_one_has_its_successor_at_once(
    streams: int,
) -> None:
    """The server answers one request whenever all streams are waiting, which only a full closed loop keeps going."""
    waiting: list[asyncio.Event] = []

    def script_of(number: int) -> Script:
        waiting.append(asyncio.Event())
        script = [until(waiting[-1]), *ANSWER]
        released = waiting if number == 47 else waiting[:1] if len(waiting) == streams else []
        for gate in released:
            gate.set()
        waiting[:] = waiting[len(released) :]
        return script

    _, played = measured(script_of, concurrency=streams)
    assert played.in_flight_at_arrival[streams:] == [streams] * (48 - streams)
    assert played.most_in_flight == streams


def test_a_level_goes_on_after_failures() -> None:
    faults: list[Script] = [[reset], [send(b"garbage\r\n\r\n")], REFUSAL]
    level, _ = measured(lambda number: faults[number // 3 % 3] if number % 3 == 0 else ANSWER, warmup_requests=0)
    assert len(level.samples) == 40
    found = kinds(level.samples)
    assert found[None] >= 20
    assert set(found) >= {None, "malformed", "http_status"}


def test_a_level_of_which_nothing_succeeds_comes_to_its_end() -> None:
    level, _ = measured(lambda _: REFUSAL)
    assert kinds(level.samples) == {"http_status": 48}
    assert {made.error_message for made in level.samples} == {"HTTP 503: busy"}


def test_a_level_without_a_server_comes_to_its_end() -> None:
    level = Kept(plan("http://127.0.0.1:1")).measure()
    assert kinds(level.samples) == {"connection": 48}


def test_a_slow_answer_is_a_timeout_and_its_stream_goes_on() -> None:
    level, _ = measured(
        lambda number: [forever] if number == 2 else ANSWER, warmup_requests=0, request_timeout_s=0.5, concurrency=2
    )
    found = kinds(level.samples)
    assert found["timeout"] >= 1
    assert found[None] + found["timeout"] == 40


def test_a_connection_that_takes_too_long_is_a_timeout() -> None:
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patched:
        patched.setattr("shapebench.load.level.OPENING_TIMEOUT_S", 0.1)
        level = Kept(plan(unanswering(stack), requests=4, warmup_requests=0, request_timeout_s=0.2)).measure()
    assert {(made.error_kind, made.error_message) for made in level.samples} == {
        ("timeout", "no connection within 0.2 s")
    }
    assert all(made.ended_s is not None and made.ended_s >= 0.19 for made in level.samples)


def test_each_sample_belongs_to_the_request_that_its_stream_sent() -> None:
    level, played = measured(lambda _: ANSWER)
    spans: dict[int, list[tuple[int, float]]] = {}
    for made in level.samples:
        assert made.ended_s is not None
        spans.setdefault(made.stream, []).append((made.sent_at_ns, made.sent_at_ns + made.ended_s * 1e9))
    assert sorted(spans) == [0, 1, 2, 3]
    for one in map(sorted, spans.values()):
        assert all(end <= start + 1000 for (_, end), (start, _) in pairwise(one))
    assert len(played.requests) == len(level.samples)


def prompts(**changes: Any) -> list[str]:
    return measured(lambda _: ANSWER, **changes)[1].prompts


def test_prompts_never_repeat_within_levels_across_levels_and_across_seeds() -> None:
    sent = [
        prompt for concurrency in (1, 4) for seed in (1, 2, 3) for prompt in prompts(concurrency=concurrency, seed=seed)
    ]
    assert len(set(sent)) == len(sent) == 6 * 48


def test_prompts_share_no_more_than_their_first_word() -> None:
    """A server that caches prefixes finds nothing of use."""
    words = [prompt.split()[:4] for prompt in prompts()]
    assert {first for first, *_ in words} == {"w0"}
    assert len({tuple(rest) for _, *rest in words}) == len(words)


def test_the_same_seed_sends_the_same_prompts() -> None:
    assert sorted(prompts(seed=7)) == sorted(prompts(seed=7))


def test_progress_counts_what_was_planned_and_no_warm_up() -> None:
    level, _ = measured(lambda number: REFUSAL if number == 47 else ANSWER, concurrency=1)
    progress = level.progress()
    assert (progress.completed, progress.failed, progress.planned) == (39, 1, 40)
    assert progress.tokens_per_s > 0
    assert progress.ttft_s is not None
    assert progress.ttft_s > 0


def test_before_its_first_answer_a_level_has_no_ttft() -> None:
    progress = Kept(plan("http://127.0.0.1:1")).progress()
    assert (progress.completed, progress.failed, progress.ttft_s) == (0, 0, None)


def test_a_level_that_has_a_time_ends_when_it_is_over_with_whole_answers() -> None:
    level, played = measured(lambda _: ANSWER, requests=None, duration_s=0.2)
    assert kinds(level.samples) == {None: len(played.requests)}
    assert len(played.requests) > 8
    assert not level.interrupted


def test_a_level_that_is_to_finish_sends_nothing_more_and_waits_for_what_is_in_flight() -> None:
    gate, levels = asyncio.Event(), list[Kept]()

    def script_of(number: int) -> Script:
        if number == 11:
            levels[0].finish()
            gate.set()
        return [until(gate), *ANSWER] if number in (8, 9, 10) else ANSWER

    with served(script_of) as played:
        levels.append(Kept(plan(played.url, requests=None)))
        level = levels[0].measure()
    assert kinds(level.samples) == {None: len(played.requests)}
    assert len(played.requests) < 40
    assert not level.interrupted


def test_the_parts_of_a_level_send_each_request_once_from_streams_of_their_own() -> None:
    with served(lambda _: ANSWER) as played:
        levels = [Kept(part).measure() for part in plan(played.url, concurrency=5, processes=2).parts()]
    assert sorted(made.request_index for level in levels for made in level.samples) == list(range(48))
    assert [{made.stream for made in level.samples} for level in levels] == [{0, 2, 4}, {1, 3}]


def test_a_part_without_streams_ends_at_once() -> None:
    assert Kept(plan("http://127.0.0.1:1", concurrency=1, processes=2, part=1)).measure().samples == []


def stopped(script_of: Callable[[int], Script], when: Callable[[Level, Played], bool], url: str = "") -> Kept:
    """The level, stopped as soon as the condition holds; it has to end by itself then."""
    with served(script_of) as played:
        level = Kept(plan(url or played.url))
        level.loop.call_every(0.01, lambda: when(level, played) and level.stop())
        return level.measure()


def test_stopping_keeps_the_samples_so_far_and_cuts_off_what_is_in_flight() -> None:
    level = stopped(lambda number: ANSWER if number < 20 else [forever], lambda _, played: played.in_flight == 4)
    assert kinds(level.samples) == {None: 20, "interrupted": 4}
    assert level.interrupted


def test_stopping_twice_is_stopping() -> None:
    def when(level: Level, played: Played) -> bool:
        if played.in_flight == 4:
            level.stop()
        return level.interrupted

    assert kinds(stopped(lambda _: [forever], when).samples) == {"interrupted": 4}


def test_stopping_before_the_start_sends_nothing() -> None:
    level = Kept(plan("http://127.0.0.1:1"))
    level.stop()
    assert level.measure().samples == []


def test_stopping_ends_a_level_that_is_still_connecting() -> None:
    """Nothing was sent, so that there are no samples."""
    polls = iter(range(10))
    with ExitStack() as stack:
        level = stopped(lambda _: [], lambda *_: next(polls, 9) == 9, unanswering(stack))
    assert level.samples == []
    assert level.interrupted


def test_a_plan_survives_its_way_to_the_process(tmp_path: Path) -> None:
    made = plan("https://example.org", samples=str(tmp_path / "level.parquet"))
    assert LevelPlan.from_json(made.to_json()) == made
