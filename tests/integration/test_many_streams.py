"""Ten thousand streams at once, for real."""

import resource
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from shapebench.analysis import level_samples
from shapebench.apis.target import Credentials, Target
from shapebench.load.plan import LevelPlan
from shapebench.load.prompts import RequestMix
from shapebench.load.workers import Outcome, run_workers
from shapebench.runs.prompt_sizing import PromptSizing, candidate_words
from shapebench.spec.lengths import Lengths
from shapebench.test_servers.reference.process import running_reference_server

STREAMS, PROCESSES = 10_000, 2
FILES = STREAMS + 100  # the server's

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.slow,
    pytest.mark.measures_time,
    pytest.mark.skipif(
        0 <= resource.getrlimit(resource.RLIMIT_NOFILE)[1] < FILES, reason=f"needs a hard limit of {FILES} open files"
    ),
]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Two requests for each stream, of few tokens: a slow server, so that all are in flight at once."""
    with running_reference_server(ttft_s=4.0, gap_s=1.0) as url:
        plan = LevelPlan(
            target=Target(url, "metronome", "chat"),
            mix=RequestMix(PromptSizing(candidate_words()), Lengths(20, 0), Lengths(4, 0), seed=1),
            concurrency=STREAMS,
            requests=STREAMS,
            warmup_requests=STREAMS,
            request_timeout_s=120,
            samples=str(tmp_path_factory.mktemp("many") / "level.parquet"),
            processes=PROCESSES,
        )
        return run_workers(plan, Credentials(), lambda _: None)


@pytest.fixture(scope="module")
def samples(outcome: Outcome) -> pd.DataFrame:
    assert outcome.samples is not None, outcome.error
    return level_samples.read(Path(outcome.samples)).requests


def test_the_level_comes_to_its_end(outcome: Outcome) -> None:
    assert (outcome.error, outcome.sent) == (None, STREAMS)


def test_every_request_completes(samples: pd.DataFrame) -> None:
    assert Counter(samples["error_kind"].dropna()) == {}
    assert sorted(samples["request_index"]) == list(range(2 * STREAMS))


def test_every_stream_has_its_measured_request(samples: pd.DataFrame) -> None:
    assert samples[~samples["warmup"]]["stream"].nunique() > 0.99 * STREAMS


def test_all_streams_are_in_flight_at_once(samples: pd.DataFrame) -> None:
    begun_s = samples["sent_at_ns"] / 1e9
    ended_s = begun_s + samples["ended_s"]
    first = samples[samples["request_index"] < STREAMS].index
    assert begun_s[first].max() < ended_s[first].min()


def test_no_token_is_lost(samples: pd.DataFrame) -> None:
    assert (samples["counted_tokens"] == samples["planned_output_tokens"]).all()


def test_each_process_stays_under_a_gigabyte(outcome: Outcome) -> None:
    assert outcome.client["max_rss_bytes"] < 1e9
