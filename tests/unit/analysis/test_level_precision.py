"""The precision of a level that is over: the same batch means as while it runs, from its samples."""

from pathlib import Path

import numpy as np
import pytest

from shapebench.analysis import level_samples, metrics
from shapebench.analysis.level_precision import _spread, estimate_precision
from shapebench.analysis.sample_reader import Samples
from shapebench.load.sample_writer import SampleStream
from shapebench.runs.samples_file import Sample, join
from shapebench.support.batch_means import Buckets, Interval, Precision
from tests.level_sample import closed_loop, refused, request


def some(interval: Interval | None) -> Interval:
    assert interval
    return interval


def read(samples: list[Sample], folder: Path) -> Samples:
    stream = SampleStream(folder / "level.arrow")
    for sample in samples:
        stream.add(sample)
    stream.close()
    join([folder / "level.arrow"], folder / "level.parquet", {})
    return level_samples.read(folder / "level.parquet")


def test_the_means_of_a_level_that_is_over_are_those_of_its_steady_window(tmp_path: Path) -> None:
    samples = read(closed_loop(4, requests_each=30), tmp_path)
    found = estimate_precision(samples)
    assert some(found.ttft).mean == pytest.approx(0.1)
    assert some(found.throughput).mean == pytest.approx(metrics.steady_tokens_per_s(samples), rel=0.01)


def test_an_answer_that_reaches_into_the_steady_window_brings_it_a_part_of_its_tokens(tmp_path: Path) -> None:
    """The window is from 0.5 to 30.5 s; of the first stream's first answer and of its last, half lies within."""
    first = [request(turn, turn, [0.2, 1.0], chunk_tokens=[1, 9]) for turn in range(31)]
    second = [request(31 + turn, turn + 0.5, [0.2, 1.0], chunk_tokens=[1, 9], stream=1) for turn in range(30)]
    found = some(estimate_precision(read(first + second, tmp_path)).throughput)
    assert (found.mean, found.relative) == pytest.approx((20, 0), abs=1e-6)


def test_failed_requests_bring_their_tokens_and_no_ttft(tmp_path: Path) -> None:
    samples = [request(turn, turn, [0.1, 1.0]) for turn in range(30)]
    lost = {"error_kind": "reset", "error_message": "gone", "output_tokens": None}
    samples += [request(30 + turn, 30.0 + turn, [0.9, 1.0], **lost) for turn in range(3)]
    found = estimate_precision(read(samples, tmp_path))
    assert (some(found.ttft).mean, some(found.throughput).mean) == pytest.approx((0.1, 2))


def test_answers_that_are_spread_all_at_once_lie_as_if_one_by_one() -> None:
    rng = np.random.default_rng(1)
    begin, length, tokens = rng.uniform(0, 20, 100), rng.exponential(2.0, 100), rng.integers(1, 50, 100)
    buckets = Buckets(width_s=1.0)
    for answer in zip(begin.tolist(), length.tolist(), tokens.tolist(), strict=True):
        buckets.add_tokens(*answer)
    found = _spread(begin, length, tokens)
    assert found[: len(buckets.tokens)] == pytest.approx(buckets.tokens)
    assert found[len(buckets.tokens) :] == pytest.approx([0] * (len(found) - len(buckets.tokens)), abs=1e-9)


def test_where_all_requests_were_refused_nothing_is_known(tmp_path: Path) -> None:
    refusals = [refused(turn, turn, ended_s=0.5) for turn in range(30)]
    assert estimate_precision(read(refusals, tmp_path)) == Precision(None, None)


def test_without_a_steady_window_nothing_is_known(tmp_path: Path) -> None:
    apart = [request(0, 0.0, [0.5], stream=0), request(1, 1.0, [0.5], stream=1)]
    assert estimate_precision(read(apart, tmp_path)) == Precision(None, None)
