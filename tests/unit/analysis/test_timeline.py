"""A level over time, against arithmetic by hand: in spans of 50 ms, or 200 of them where the level is long."""

from pathlib import Path

import pandas as pd
import pytest

from shapebench.analysis import level_samples
from shapebench.analysis import sample_reader as samples
from shapebench.analysis.timeline import MAX_BINS, MIN_BIN_S, timeline
from shapebench.runs.samples_file import Sample
from tests.level_sample import closed_loop, refused, request, write


def over_time(made: list[Sample], folder: Path) -> pd.DataFrame:
    write(made, folder / "level.parquet")
    return timeline(level_samples.read(folder / "level.parquet"))


def total(found: pd.DataFrame, column: str) -> float:
    """Over the whole of the level."""
    return float(found[column].sum() * 2 * found["at_s"].iloc[0])


# In spans of 50 ms:
#
#   stream 0   warm-up 0.00 -> 0.02 (1 token)   until 0.05
#              A       0.05 -> 0.10, 0.16       until 0.175   half of the span from 0.15
#   stream 1   B       0.10 -> 0.19 (3 tokens)  until 0.20
BY_HAND = [
    request(0, 0.0, [0.02], warmup=True, ended_s=0.05),
    request(1, 0.05, [0.06, 0.11], ended_s=0.125),
    request(2, 0.1, [0.09], stream=1, chunk_tokens=[3], ended_s=0.1),
]


def test_a_level_over_time_is_what_it_is_by_hand(tmp_path: Path) -> None:
    found = over_time(BY_HAND, tmp_path)
    assert found["at_s"].to_list() == pytest.approx([0.025, 0.075, 0.125, 0.175])
    assert found["busy_streams"].to_list() == pytest.approx([1, 1, 2, 1.5])
    assert found["tokens_per_s"].to_list() == pytest.approx([1 / 0.05, 0, 1 / 0.05, 4 / 0.05])


def test_the_order_of_the_samples_does_not_matter(tmp_path: Path) -> None:
    pd.testing.assert_frame_equal(over_time(BY_HAND[::-1], tmp_path), over_time(BY_HAND, tmp_path))


def test_one_request_alone_is_one_busy_stream_from_first_to_last(tmp_path: Path) -> None:
    found = over_time([request(0, 7.0, [0.225, 1.0])], tmp_path)
    assert found["busy_streams"].to_list() == pytest.approx([1] * 20)
    assert found["tokens_per_s"].to_list() == pytest.approx([0] * 4 + [20] + [0] * 14 + [20])


def test_a_level_that_is_shorter_than_a_span_is_one_span(tmp_path: Path) -> None:
    found = over_time([request(0, 0.0, [0.02])], tmp_path)
    assert found.to_dict("records") == [
        {"at_s": MIN_BIN_S / 2, "busy_streams": pytest.approx(0.4), "tokens_per_s": pytest.approx(20)}
    ]


def test_without_a_request_there_is_nothing_to_show(tmp_path: Path) -> None:
    found = over_time([], tmp_path)
    assert (list(found), len(found)) == (["at_s", "busy_streams", "tokens_per_s"], 0)


def test_streams_that_do_not_pause_are_busy_all_the_time(tmp_path: Path) -> None:
    found = over_time(closed_loop(4, requests_each=3), tmp_path)  # 4 s, but that streams begin and end 0.01 s apart
    assert found["busy_streams"].iloc[1:-1].to_list() == pytest.approx([4] * (len(found) - 2), abs=1e-6)


def test_a_pause_is_seen_where_it_was(tmp_path: Path) -> None:
    found = over_time([request(0, 0.0, [1.0]), request(1, 2.0, [1.0])], tmp_path)
    paused = found["at_s"].between(1, 2)
    assert found["busy_streams"][paused].to_list() == pytest.approx([0] * 20)
    assert found["busy_streams"][~paused].to_list() == pytest.approx([1] * 40)


def test_requests_that_failed_were_in_flight_and_brought_what_tokens_came(tmp_path: Path) -> None:
    lost = {"error_kind": "reset", "error_message": "gone", "output_tokens": None}
    found = over_time([request(0, 0.0, [0.5, 0.7], ended_s=1.0, **lost), refused(1, 1.0, ended_s=0.5)], tmp_path)
    assert total(found, "busy_streams") == pytest.approx(1.5)
    assert total(found, "tokens_per_s") == pytest.approx(2)


def test_a_long_level_has_no_more_spans_than_can_be_shown(tmp_path: Path) -> None:
    made = closed_loop(2, requests_each=60)
    found = over_time(made, tmp_path)
    assert len(found) == MAX_BINS
    assert total(found, "tokens_per_s") == pytest.approx(sum(sample.seen_tokens for sample in made))
    assert total(found, "busy_streams") == pytest.approx(sum(sample.ended_s or 0 for sample in made))


def test_however_few_samples_are_read_at_a_time_the_level_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [*closed_loop(3), refused(99, 6.0)]
    at_once = over_time(made, tmp_path)
    monkeypatch.setattr(samples, "AT_A_TIME", 2)
    pd.testing.assert_frame_equal(over_time(made, tmp_path), at_once)
