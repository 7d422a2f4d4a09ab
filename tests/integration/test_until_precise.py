"""A level that goes on until its means are known well enough, against a server whose timing varies."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shapebench.analysis import level_samples
from shapebench.analysis.level_precision import estimate_precision
from shapebench.apis.target import Credentials, Target
from shapebench.load.plan import LevelPlan
from shapebench.load.prompts import RequestMix
from shapebench.load.workers import Outcome, run_workers
from shapebench.runs.prompt_sizing import PromptSizing, candidate_words
from shapebench.spec.lengths import Lengths
from shapebench.support.timing import set_testing
from shapebench.test_servers.reference.process import running_reference_server

pytestmark = [pytest.mark.slow, pytest.mark.measures_time, pytest.mark.nightly]
WITHIN = 0.1
LONGEST_S = 40.0
WATCHED_S = 4.0  # in place of ten seconds
Ended = Callable[[int], Outcome]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_reference_server(ttft_s=0.02, gap_s=0.002, jitter=0.5) as address:
        yield address


def plan(url: str, folder: Path) -> LevelPlan:
    return LevelPlan(
        target=Target(url=url, model="metronome", api="chat"),
        mix=RequestMix(PromptSizing(candidate_words()), Lengths(20, 0), Lengths(20, 5), seed=1),
        concurrency=4,
        requests=None,
        warmup_requests=8,
        request_timeout_s=30,
        samples=str(folder / "level.parquet"),
        duration_s=LONGEST_S,
        until_precise=WITHIN,
    )


@pytest.fixture(scope="module", params=[1, 2])
def outcome(request: pytest.FixtureRequest, url: str, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    made = plan(url, tmp_path_factory.mktemp("level"))
    with set_testing(precise_after_s=WATCHED_S):
        return run_workers(replace(made, processes=request.param), Credentials(), lambda _: None)


def test_it_ends_before_its_time(outcome: Outcome) -> None:
    assert outcome.error is None
    assert WATCHED_S < outcome.wall_s < LONGEST_S


def test_it_ends_with_whole_answers(outcome: Outcome) -> None:
    assert outcome.samples
    samples = level_samples.read(outcome.samples)
    assert samples.requests["error_kind"].isna().all()
    assert len(level_samples.measured(samples)) == outcome.sent


def test_it_is_as_precise_as_was_asked(outcome: Outcome) -> None:
    assert outcome.samples
    found = estimate_precision(level_samples.read(outcome.samples))
    assert found.ttft
    assert found.throughput
    assert max(found.ttft.relative, found.throughput.relative) < WITHIN
