"""Metrics against arithmetic done by hand, and the laws that hold whatever the samples."""

import atexit
from itertools import count, pairwise
from math import sqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapebench.analysis import level_samples, metrics
from shapebench.analysis import sample_reader as of_a_level
from shapebench.analysis.sample_reader import Samples
from shapebench.analysis.summary import STAT_FUNCTIONS, metrics_object, summarise
from shapebench.runs.samples_file import Sample
from shapebench.spec import metric_definitions
from shapebench.spec.metric_definitions import COLUMNS, DISTRIBUTIONS, METRICS, STATS, TOTALS
from tests.examples import examples
from tests.level_sample import STARTED_NS, closed_loop, refused, request, write

# Two streams; times in seconds after the start, what was sent when and when its tokens came:
#
#   stream 0   warm-up 0.00 ->  0.10 0.20                  until 0.20
#              A       0.20 ->  0.35 0.45 0.65 (2 tokens)  until 0.70
#              B       0.70 ->  0.90                       until 0.95
#   stream 1   warm-up 0.00 ->  0.25                       until 0.25
#              C       0.30 ->  0.60 0.80                  until 0.80
#              D       0.80 ->  0.90                       fails at 1.00
GOLDEN = [
    request(0, 0.0, [0.1, 0.2], warmup=True, input_tokens=999),
    request(1, 0.0, [0.25], warmup=True, stream=1, input_tokens=999),
    request(  # A, whose first token is reasoning
        *(2, 0.2, [0.15, 0.25, 0.45]),
        chunk_tokens=[1, 1, 2],
        ended_s=0.5,
        input_tokens=190,
        first_answer_s=0.25,
        reasoning_tokens=1,
        server_address="h:1",
    ),
    request(
        3, 0.3, [0.3, 0.5], stream=1, input_tokens=200, first_answer_s=0.3, reasoning_tokens=0, server_address="h:2"
    ),  # C
    request(4, 0.7, [0.2], ended_s=0.25, input_tokens=240, first_answer_s=0.2, reasoning_tokens=0),  # B
    request(5, 0.8, [0.1], stream=1, ended_s=0.2, error_kind="reset", error_message="gone", output_tokens=None),  # D
]


PROMISED = {"ttft_s": 0.25}
FOLDER = TemporaryDirectory()  # files stay: tokens are read when they are asked for
atexit.register(FOLDER.cleanup)
FILES = (Path(FOLDER.name) / f"{number}.parquet" for number in count())


def read(samples: list[Sample]) -> Samples:
    write(samples, path := next(FILES))
    return level_samples.read(path, slo_bounds=PROMISED)


def summary(samples: list[Sample]) -> dict[str, float]:
    rows = summarise("r", 2, read(samples))
    return {metric_definitions.column_name(row.metric, row.stat): row.value for row in rows}


# A: the first token after 0.15 s, the last after 0.45 s, 4 tokens. B: 0.2, 0.2, 1. C: 0.3, 0.5, 2.
GOLDEN_VALUES = {
    # 0.15, 0.2, 0.3; their mean is 0.65 / 3, their squared distances from it add up to 0.035 / 3
    "ttft_s_mean": 0.65 / 3,
    "ttft_s_stddev": sqrt(0.035 / 3 / 2),
    "ttft_s_min": 0.15,
    "ttft_s_p25": 0.175,  # half way from the first to the second
    "ttft_s_p50": 0.2,
    "ttft_s_p75": 0.25,
    "ttft_s_p90": 0.28,  # at 0.9 * 2 = 1.8: 0.2 + 0.8 * 0.1
    "ttft_s_p95": 0.29,
    "ttft_s_p99": 0.298,
    "ttft_s_max": 0.3,
    # 0.25, 0.2, 0.3
    "time_to_first_answer_s_mean": 0.25,
    "time_to_first_answer_s_max": 0.3,
    "reasoning_tokens_mean": 1 / 3,  # 1, 0, 0
    # 0.45, 0.2, 0.5
    "e2e_s_mean": 1.15 / 3,
    "e2e_s_p50": 0.45,
    "e2e_s_max": 0.5,
    # A: 0.1, then 0.2 for 2 tokens: twice 0.1. C: 0.2. B has one token and no gap.
    "inter_token_s_mean": (0.1 + 0.1 + 0.1 + 0.2) / 4,
    "inter_token_s_min": 0.1,
    "inter_token_s_p50": 0.1,
    "inter_token_s_max": 0.2,
    # A: (0.45 - 0.15) / 3 = 0.1. C: (0.5 - 0.3) / 1 = 0.2. B has none.
    "tpot_s_mean": 0.15,
    "tpot_s_min": 0.1,
    "tpot_s_max": 0.2,
    # A: 4 / 0.45. B: 1 / 0.2 = 5. C: 2 / 0.5 = 4.
    "query_tokens_per_s_mean": (4 / 0.45 + 5 + 4) / 3,
    "query_tokens_per_s_min": 4,
    "query_tokens_per_s_max": 4 / 0.45,
    "input_tokens_mean": 210,  # (190 + 200 + 240) / 3
    "output_tokens_mean": 7 / 3,  # 4, 1, 2
    "output_tokens_p75": 3,
    # From A's sending at 0.2 to B's token at 0.9, the last of a completed request: 7 tokens, 3 requests in 0.7 s.
    "system_tokens_per_s": 10,
    "requests_per_min": 60 * 3 / 0.7,
    "servers_answered": 2,  # A and C say which
    "error_rate": 0.25,  # D of A, B, C, D
    # A and B had their first token within the 0.25 s promised, C and D had not: 4 + 1 tokens.
    "slo_attainment": 0.5,
    "goodput_requests_per_s": 2 / 0.7,
    "goodput_tokens_per_s": 5 / 0.7,
    # Both streams are past their warm-up from 0.3 (C) until 0.95 (B's end). In there: A's 4, B's 1, C's 2, and D's 1,
    # which arrived though D failed later.
    "steady_tokens_per_s": 8 / 0.65,
    "steady_s": 0.65,
    # In the window: A 0.4, B 0.25, C 0.5, D 0.15.
    "steady_concurrency": 1.3 / 0.65,
    # From A's sending at 0.2 to D's end at 1.0: A 0.5, B 0.25, C 0.5, D 0.2, and 0.05 of stream 1's warm-up.
    "mean_concurrency": 1.5 / 0.8,
}
OF_LONG_LEVELS = {"ttft_precision", "throughput_precision"}  # few requests have none
BY_SERVER = [  # where it gave an account
    "server_ttft_s",
    "ttft_outside_server_s",
    "server_inter_token_s",
    "server_e2e_s",
    "running_requests_max",
    "waiting_requests_max",
    "kv_cache_usage_max",
    "preemptions",
    "prefix_cache_hit_rate",
    "draft_acceptance_rate",
    "acceptance_length_tokens",
]


@pytest.mark.parametrize("column", GOLDEN_VALUES)
def test_a_metric_is_what_it_is_by_hand(column: str) -> None:
    assert summary(GOLDEN)[column] == pytest.approx(GOLDEN_VALUES[column], rel=1e-6)


@pytest.mark.parametrize("at_a_time", [1, 2, 3, 5])
def test_however_few_samples_are_read_at_a_time_the_metrics_are_the_same(
    at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [GOLDEN[0], refused(7, 0.1), *GOLDEN[1:], refused(8, 0.9, stream=1)]
    at_once = summary(made)
    monkeypatch.setattr(of_a_level, "AT_A_TIME", at_a_time)
    assert summary(made) == pytest.approx(at_once, rel=1e-12)


def test_the_spread_of_many_values_is_numpys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shapebench.analysis.summary.PIECE", 10)
    values = np.random.default_rng(1).exponential(0.02, 1001).astype(np.float32)
    assert STAT_FUNCTIONS["stddev"](values) == pytest.approx(float(np.std(values.astype(float), ddof=1)))


def test_a_request_has_its_chunks_in_figures_whether_it_failed_or_not() -> None:
    found = read([*GOLDEN, refused(6, 1.0)]).requests.set_index("request_index")
    figures = found[["chunks", "counted_tokens", "first_token_s", "last_token_s"]]
    assert figures.loc[2].to_list() == pytest.approx([3, 4, 0.15, 0.45])
    assert figures.loc[5].to_list() == pytest.approx([1, 1, 0.1, 0.1])
    assert figures.loc[6].to_list() == pytest.approx([0, 0, np.nan, np.nan], nan_ok=True)


def test_all_columns_come_of_samples_that_have_it_all() -> None:
    assert set(summary(GOLDEN)) == set(COLUMNS) - OF_LONG_LEVELS - {*BY_SERVER}


def test_every_metric_of_the_golden_samples_is_checked_by_hand() -> None:
    assert {m.name for m in TOTALS} - OF_LONG_LEVELS - {*BY_SERVER} <= set(GOLDEN_VALUES)
    assert {f"{m.name}_mean" for m in DISTRIBUTIONS} <= set(GOLDEN_VALUES)


def test_a_level_of_many_requests_says_how_precisely_its_means_are_known() -> None:
    found = summary(closed_loop(2, requests_each=50))
    assert found["ttft_precision"] == pytest.approx(0, abs=1e-6)
    assert 0 <= found["throughput_precision"] < 0.05


def test_a_request_that_failed_has_neither_latency_nor_throughput() -> None:
    failed = read(GOLDEN).requests.set_index("request_index").loc[5]
    assert failed[["ttft_s", "e2e_s", "tpot_s", "query_tokens_per_s"]].isna().all()


def test_the_steady_window_is_while_all_streams_are_busy() -> None:
    start_ns, end_ns = level_samples.steady_window_ns(read(GOLDEN))
    assert ((start_ns - STARTED_NS) / 1e9, (end_ns - STARTED_NS) / 1e9) == pytest.approx((0.3, 0.95))


def test_concurrency_is_held_where_streams_do_not_pause() -> None:
    # In the window of 0.65 s: A 0.4, B 0.25, C 0.5, D 0.15.
    assert metrics.steady_concurrency(read(GOLDEN)) == pytest.approx(1.3 / 0.65)


def test_concurrency_is_not_held_where_a_stream_pauses() -> None:
    paused = [request(0, 0.0, [1.0]), request(1, 1.5, [1.0])]  # 0.5 s of 2.5 s without a request
    assert metrics.steady_concurrency(read(paused)) == pytest.approx(2.0 / 2.5)


def test_without_a_moment_at_which_all_are_busy_there_is_no_steady_window() -> None:
    apart = [request(0, 0.0, [0.5], stream=0), request(1, 1.0, [0.5], stream=1)]
    assert "steady_tokens_per_s" not in summary(apart)
    assert pd.isna(metrics.steady_concurrency(read(apart)))


def test_a_stream_that_never_got_past_its_warm_up_leaves_no_steady_window() -> None:
    stuck = [request(0, 0.0, [0.5], stream=0), request(1, 0.0, [0.5], stream=1, warmup=True)]
    assert level_samples.steady_window_ns(read(stuck)) == (0, 0)


def test_an_answer_of_one_token_has_no_time_per_output_token() -> None:
    found = summary([request(0, 0.0, [0.5])])
    assert not [name for name in found if name.startswith(("tpot_s", "inter_token_s"))]
    assert found["query_tokens_per_s_mean"] == pytest.approx(2.0)


def test_one_request_alone_has_no_spread() -> None:
    assert "ttft_s_stddev" not in summary([request(0, 0.0, [0.5, 0.6])])


def test_the_tokens_of_a_first_chunk_have_no_gap() -> None:
    found = summary([request(0, 0.0, [0.5, 0.8], chunk_tokens=[3, 1])])
    assert found["inter_token_s_mean"] == found["inter_token_s_max"] == pytest.approx(0.3)
    assert found["tpot_s_mean"] == pytest.approx(0.1)  # (0.8 - 0.5) / (4 - 1)


def test_an_answer_that_is_all_reasoning_has_no_time_to_the_answer() -> None:
    found = summary([request(0, 0.0, [0.5, 0.6], reasoning_tokens=2)])
    assert "time_to_first_answer_s_mean" not in found
    assert found["ttft_s_mean"] == 0.5


def test_where_nothing_is_known_of_reasoning_the_answer_begins_with_the_first_token() -> None:
    """The first text comes after it, where the first token is half a character."""
    found = summary([request(0, 0.0, [0.5, 0.6], first_answer_s=0.6)])
    assert found["time_to_first_answer_s_mean"] == 0.5
    assert "reasoning_tokens_mean" not in found


def test_reasoning_that_was_not_sent_has_no_part_in_the_time_per_output_token() -> None:
    """Of the 40 tokens 36 were thought before the first chunk, with which they count."""
    hidden = request(0, 0.0, [2.0, 2.1, 2.2, 2.3], chunk_tokens=[37, 1, 1, 1], first_answer_s=2.0, reasoning_tokens=36)
    found = summary([hidden])
    assert found["tpot_s_mean"] == pytest.approx(0.1)
    assert found["inter_token_s_max"] == pytest.approx(0.1)
    assert found["query_tokens_per_s_mean"] == pytest.approx(40 / 2.3)


def test_files_of_earlier_versions_tell_nothing_of_reasoning() -> None:
    write([request(0, 0.0, [0.5, 0.6])], path := next(FILES))
    pq.write_table(pq.read_table(path).drop_columns(["first_answer_s", "reasoning_tokens"]), path)
    found = {row.metric for row in summarise("r", 2, level_samples.read(path))}
    assert "ttft_s" in found
    assert not found & {"time_to_first_answer_s", "reasoning_tokens"}


def test_where_all_requests_failed_the_error_rate_is_all_there_is() -> None:
    assert summary([refused(0, 0.0), refused(1, 0.1)]) == {"error_rate": 1.0}


def test_the_servers_that_answered_are_counted_by_their_addresses() -> None:
    addresses = ("10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:80")
    done = [request(n, 0.1 * n, [0.5], server_address=address) for n, address in enumerate(addresses)]
    failed = refused(3, 0.3, server_address="10.0.0.3:80")
    assert summary([*done, failed])["servers_answered"] == 2


def test_a_warm_up_that_failed_is_no_error() -> None:
    assert summary([refused(0, 0.0, warmup=True), request(1, 0.1, [0.5])])["error_rate"] == 0


@pytest.mark.parametrize(
    ("slo_bounds", "attainment"),
    [
        ({}, 0.75),  # all but the one that failed
        ({"ttft_s": 0.2}, 0.5),  # what is just at its bound has kept it
        ({"e2e_s": 0.2}, 0.25),
        ({"query_tokens_per_s": 5}, 0.5),
        ({"time_to_first_answer_s": 0.25}, 0.5),
        ({"tpot_s": 0.1001}, 0.5),  # of A, and of B, whose one token cannot miss it
        ({"ttft_s": 0.25, "query_tokens_per_s": 8}, 0.25),
    ],
)
def test_who_had_all_that_was_promised_attained_it(slo_bounds: dict[str, float], attainment: float) -> None:
    write(GOLDEN, path := next(FILES))
    assert metrics.slo_attainment(level_samples.read(path, slo_bounds=slo_bounds)) == attainment


def test_where_nobody_knows_what_was_promised_there_is_no_goodput() -> None:
    write(GOLDEN, path := next(FILES))
    found = {row.metric for row in summarise("r", 2, level_samples.read(path))}
    assert not found & {"slo_attainment", "goodput_requests_per_s", "goodput_tokens_per_s"}


@pytest.mark.parametrize("samples", [[], [request(0, 0.0, [0.5], warmup=True)]], ids=["none", "warm-up only"])
def test_without_a_measured_request_there_are_no_metrics(samples: list[Sample]) -> None:
    assert summary(samples) == {}


def test_names_are_unique() -> None:
    assert len({m.name for m in METRICS}) == len(METRICS)
    assert len(set(COLUMNS)) == len(COLUMNS)


def test_the_metrics_and_stats_are_the_promised_ones() -> None:
    assert [m.name for m in DISTRIBUTIONS] == [
        "ttft_s",
        "time_to_first_answer_s",
        "e2e_s",
        "inter_token_s",
        "tpot_s",
        "query_tokens_per_s",
        "input_tokens",
        "output_tokens",
        "reasoning_tokens",
    ]
    assert [m.name for m in TOTALS] == [
        "system_tokens_per_s",
        "steady_tokens_per_s",
        "steady_s",
        "steady_concurrency",
        "mean_concurrency",
        "ttft_precision",
        "throughput_precision",
        "servers_answered",
        "requests_per_min",
        "error_rate",
        "slo_attainment",
        "goodput_requests_per_s",
        "goodput_tokens_per_s",
        *BY_SERVER,
    ]
    assert list(STATS) == ["mean", "stddev", "min", "p25", "p50", "p75", "p90", "p95", "p99", "max"]


def test_a_name_carries_the_unit() -> None:
    suffix = {
        "s": "_s",
        "tokens/s": "_tokens_per_s",
        "tokens": "_tokens",
        "1/min": "_per_min",
        "requests/s": "_requests_per_s",
        "streams": "_concurrency",
        "requests": "_requests_max",
        "1": ("_rate", "_precision", "_attainment", "kv_cache_usage_max"),
        "count": "preemptions",
        "servers": "servers_answered",
    }
    assert [m.name for m in METRICS if not m.name.endswith(suffix[m.unit])] == []


def test_the_object_has_every_metric_and_none_for_what_is_missing() -> None:
    found = metrics_object(summarise("r", 1, read([request(0, 0.0, [0.5])])))
    assert set(found) == {m.name for m in METRICS}
    assert found["system_tokens_per_s"] == pytest.approx(2.0)
    assert found["ttft_s"]["p99"] == pytest.approx(0.5)
    assert found["ttft_s"]["stddev"] is None
    assert found["tpot_s"] == dict.fromkeys(STATS)


Turn = tuple[float, list[tuple[float, int]], bool]  # seconds of pause before it, (gap, tokens) of each chunk, failed
turns = st.tuples(
    st.sampled_from([0.0, 0.0, 0.01, 0.5]),
    st.lists(st.tuples(st.floats(0.001, 2.0), st.integers(1, 4)), min_size=1, max_size=6),
    st.sampled_from([False, False, False, True]),
)
levels = st.lists(st.lists(turns, min_size=1, max_size=4), min_size=1, max_size=3)


def played(streams: list[list[Turn]], **everywhere: Any) -> list[Sample]:
    """The samples of streams that each take one turn after the other."""
    samples: list[Sample] = []
    for stream, of_stream in enumerate(streams):
        now_s = 0.0
        for pause_s, chunks, fails in of_stream:
            offsets_s = [sum(gap for gap, _ in chunks[: n + 1]) for n in range(len(chunks))]
            changes = {"stream": stream, "chunk_tokens": [tokens for _, tokens in chunks], **everywhere}
            changes |= {"error_kind": "reset", "output_tokens": None} if fails else {}
            samples.append(request(len(samples), now_s + pause_s, offsets_s, **changes))
            now_s += pause_s + offsets_s[-1]
    return samples


law = settings(max_examples=examples(60), deadline=None)
CLOSE = 1e-5  # a request is sent on a whole nanosecond


@law
@given(levels)
def test_quantiles_are_ordered_and_within_the_extremes(streams: list[list[Turn]]) -> None:
    found = summary(played(streams))
    for metric in DISTRIBUTIONS:
        stats = [found.get(f"{metric.name}_{s}") for s in ("min", "p25", "p50", "p75", "p90", "p95", "p99", "max")]
        values = [value for value in stats if value is not None]
        assert all(low <= high + CLOSE for low, high in pairwise(values))
        if values:
            assert values[0] - CLOSE <= found[f"{metric.name}_mean"] <= values[-1] + CLOSE


@law
@given(levels)
def test_the_first_token_never_comes_after_the_last(streams: list[list[Turn]]) -> None:
    done = level_samples.completed(read(played(streams)))
    assert (done["ttft_s"] <= done["e2e_s"]).all()


@law
@given(levels)
def test_tokens_are_conserved(streams: list[list[Turn]]) -> None:
    samples = read(played(streams))
    done, found = level_samples.completed(samples), summary(played(streams))
    if len(done):
        tokens = done["output_tokens"].sum()
        assert found["system_tokens_per_s"] * metrics.wall_s(samples) == pytest.approx(tokens)
        assert found["output_tokens_mean"] * len(done) == pytest.approx(tokens)
        first_chunks = sum(s.chunk_tokens[0] for s in played(streams) if s.error_kind is None)
        assert len(metrics.inter_token_s(samples)) == tokens - first_chunks
        assert found["requests_per_min"] * metrics.wall_s(samples) / 60 == pytest.approx(len(done))


@law
@given(levels)
def test_no_more_tokens_arrive_in_the_steady_window_than_arrive_at_all(streams: list[list[Turn]]) -> None:
    samples = read(played(streams))
    start_ns, end_ns = level_samples.steady_window_ns(samples)
    if end_ns > start_ns:
        inside = metrics.steady_tokens_per_s(samples) * (end_ns - start_ns) / 1e9
        assert -CLOSE <= inside <= samples.requests["counted_tokens"].sum() + CLOSE


@law
@given(levels)
def test_no_more_requests_are_in_flight_than_there_are_streams(streams: list[list[Turn]]) -> None:
    held = metrics.steady_concurrency(read(played(streams)))
    assert pd.isna(held) or held <= len(streams) + CLOSE


@law
@given(levels)
def test_the_system_is_at_least_as_fast_as_each_query_for_the_share_of_time_that_it_took(
    streams: list[list[Turn]],
) -> None:
    """Its tokens are among the system's: a query that took all of the time is never faster than the system."""
    samples = read(played(streams))
    done = level_samples.completed(samples)
    if len(done):
        share = done["e2e_s"] / metrics.wall_s(samples)
        assert (done["query_tokens_per_s"] * share <= metrics.system_tokens_per_s(samples) * (1 + CLOSE)).all()


@law
@given(levels)
def test_where_nothing_fails_and_no_stream_pauses_the_system_is_at_least_as_fast_as_the_slowest_query(
    streams: list[list[Turn]],
) -> None:
    """At each moment at least one query is under way, and it is no slower than the slowest."""
    busy = [[(0.0, chunks, False) for _, chunks, _ in of_stream] for of_stream in streams]
    found = summary(played(busy))
    assert found["system_tokens_per_s"] >= found["query_tokens_per_s_min"] * (1 - CLOSE)


@law
@given(st.lists(turns, min_size=1, max_size=5))
def test_one_busy_stream_has_the_throughput_of_its_queries(of_stream: list[Turn]) -> None:
    busy = [(0.0, chunks, False) for _, chunks, _ in of_stream]
    samples = read(played([busy]))
    done = level_samples.completed(samples)
    by_queries = done["output_tokens"].sum() / done["e2e_s"].sum()
    assert metrics.system_tokens_per_s(samples) == pytest.approx(by_queries, rel=CLOSE)


def test_with_all_streams_in_step_the_system_is_as_fast_as_all_queries_together() -> None:
    found = summary(closed_loop(8))
    assert found["system_tokens_per_s"] == pytest.approx(8 * found["query_tokens_per_s_mean"], rel=0.02)
