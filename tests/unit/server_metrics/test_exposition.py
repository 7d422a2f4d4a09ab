"""What a /metrics page says, by names of our own: of real vLLM 0.32 as recorded, and of pages written out by hand."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapebench.server_metrics import engines
from shapebench.server_metrics.exposition import Values, identity, known_values

RECORDED = (Path(__file__).parents[2] / "contract" / "recorded" / "metrics.txt").read_text(encoding="utf-8")
STARTED = "process_start_time_seconds"
NAMES = {
    ours: tuple(series.name for series in row[engines.VLLM])
    for ours, row in engines.NAMES.items()
    if engines.VLLM in row
}
SPECULATIVE = {"drafts", "draft_tokens", "accepted_draft_tokens"}  # only with speculative decoding
RENAMED = [(ours, newest, old) for ours, (newest, *olds) in NAMES.items() for old in olds]
COUNTS = st.integers(0, 10**12)


def line(name: str, value: object, **labels: object) -> str:
    """As prometheus_client writes it, for the first engine unless another is named."""
    said = ",".join(f'{label}="{content}"' for label, content in ({"engine": 0} | labels).items())
    return f"{name}{{{said}}} {value}\n"


def histogram(name: str, **below: int) -> str:
    """By bucket: `b0_1` is the one up to 0.1."""
    return "".join(
        line(f"{name}_bucket", count, le=bound[1:].replace("_", ".")) for bound, count in below.items()
    ) + line(f"{name}_count", max(below.values()))


def test_every_name_is_found_on_the_page_of_real_vllm() -> None:
    found = {metric for metric, _ in known_values(RECORDED)}
    assert {metric.removesuffix("_sum").removesuffix("_count").removesuffix("_bucket") for metric in found} == set(
        NAMES
    ) - SPECULATIVE


@pytest.mark.parametrize(
    ("metric", "label", "value"),
    [
        ("running_requests", "", 0),
        ("waiting_requests", "", 0),
        ("kv_cache_usage", "", 0),
        ("preemptions", "", 0),
        ("prefix_cache_queried_tokens", "", 19326),
        ("prefix_cache_hit_tokens", "", 128),
        ("prompt_tokens", "", 19326),
        ("generation_tokens", "", 9200),
        ("finished_requests", "length", 92),
        ("finished_requests", "abort", 0),
        ("ttft_s_sum", "", 38.81657290458679),
        ("ttft_s_count", "", 92),
        ("ttft_s_bucket", "0.04", 3),
        ("ttft_s_bucket", "+Inf", 92),
        ("inter_token_s_count", "", 9108),
        ("inter_token_s_bucket", "0.025", 8744),
        ("e2e_s_sum", "", 219.06296730041504),
    ],
)
def test_the_page_of_real_vllm_has_its_values(metric: str, label: str, value: float) -> None:
    assert known_values(RECORDED)[metric, label] == value


def test_a_histogram_keeps_the_bounds_of_all_its_buckets() -> None:
    bounds = [label for metric, label in known_values(RECORDED) if metric == "ttft_s_bucket"]
    small = ["0.001", "0.005", "0.01", "0.02", "0.04", "0.06", "0.08", "0.1", "0.25", "0.5", "0.75"]
    large = ["1.0", "2.5", "5.0", "7.5", "10.0", "20.0", "40.0", "80.0", "160.0", "640.0", "2560.0", "+Inf"]
    assert bounds == [*small, *large]


def test_what_a_metric_is_made_of_is_no_metric_of_its_own() -> None:
    page = line("vllm:prompt_tokens_by_source_total", 5, source="device") + line("vllm:prompt_tokens_created", 1.8e9)
    assert known_values(page) == {}


def as_written(name: str, ours: str) -> tuple[str, Values]:
    """Lines of a metric of the kind that it is, and what they say."""
    if ours.endswith("_s"):
        said = {(f"{ours}_bucket", "0.1"): 2.0, (f"{ours}_bucket", "+Inf"): 3.0, (f"{ours}_count", ""): 3.0}
        return histogram(name, b0_1=2, **{"b+Inf": 3}), said
    return line(name if ours == "kv_cache_usage" else f"{name}_total", 0.5), {(ours, ""): 0.5}


def test_an_old_version_has_other_names_for_four_metrics() -> None:
    assert [ours for ours, _, _ in RENAMED] == [
        "kv_cache_usage",
        "prefix_cache_queried_tokens",
        "prefix_cache_hit_tokens",
        "inter_token_s",
    ]


@pytest.mark.parametrize(("ours", "newest", "old"), RENAMED)
def test_an_old_name_says_the_same_as_the_new(ours: str, newest: str, old: str) -> None:
    text, said = as_written(old, ours)
    assert known_values(text) == said == known_values(as_written(newest, ours)[0])


@pytest.mark.parametrize(("ours", "newest", "old"), RENAMED)
def test_where_a_version_has_both_names_the_newest_counts_once(ours: str, newest: str, old: str) -> None:
    other = as_written(old, ours)[0].replace(" 0.5", " 0.7").replace(" 3", " 4")
    text, said = as_written(newest, ours)
    assert known_values(other + text) == known_values(text + other) == said


def test_a_line_without_labels_counts_as_well() -> None:
    assert known_values("vllm:prompt_tokens_total 7\n") == {("prompt_tokens", ""): 7}


@given(st.lists(COUNTS, min_size=1, max_size=8))
def test_what_several_engines_count_is_summed(counts: list[int]) -> None:
    page = "".join(line("vllm:prompt_tokens_total", count, engine=n) for n, count in enumerate(counts))
    assert known_values(page) == {("prompt_tokens", ""): sum(counts)}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_of_several_engines_the_fullest_cache_counts(shares: list[float]) -> None:
    page = "".join(line("vllm:kv_cache_usage_perc", share, engine=n) for n, share in enumerate(shares))
    assert known_values(page) == {("kv_cache_usage", ""): max(shares)}


def test_engines_are_summed_for_each_reason_and_for_each_bucket() -> None:
    page = "".join(
        line("vllm:request_success_total", 1 + engine, finished_reason=reason, engine=engine)
        + line("vllm:e2e_request_latency_seconds_bucket", 4, le=bound, engine=engine)
        for engine in (0, 1)
        for reason, bound in (("stop", "0.1"), ("length", "+Inf"))
    )
    assert known_values(page) == {
        ("finished_requests", "stop"): 3,
        ("finished_requests", "length"): 3,
        ("e2e_s_bucket", "0.1"): 8,
        ("e2e_s_bucket", "+Inf"): 8,
    }


@given(st.lists(st.text(max_size=40).map("x".__add__), max_size=8), st.randoms(use_true_random=False))
def test_lines_of_unknown_names_break_nothing_however_they_look(unknown: list[str], order: object) -> None:
    known = [line("vllm:prompt_tokens_total", 7).strip(), f"{STARTED} 12.5"]
    lines = [*known, *unknown]
    order.shuffle(lines)  # type: ignore[attr-defined]
    assert known_values("\n".join(lines)) == {("prompt_tokens", ""): 7}
    assert identity("\n".join(lines)) == {"its start": "1970-01-01 00:00:12 UTC"}


@pytest.mark.parametrize("text", ["", "\n", "<html>", "metronome_requests_total 3\n", 'vllm:other{engine="0"} 1\n'])
def test_a_page_without_known_names_has_no_values(text: str) -> None:
    assert known_values(text) == {}
    assert identity(text) == {}


@pytest.mark.parametrize(
    "rest",
    [
        "{",
        "{}",
        " ",
        " many",
        '{engine="0" 5',
        '{engine="0"} ',
        '{engine="0"} 1_000',
        "{engine=0} 5",
        '{engine="0",engine="1"} 5',
        '{="0"} 5',
        '{engine="0", ="1"} 5',
    ],
)
def test_a_malformed_line_of_a_known_name_raises(rest: str) -> None:
    page = line("vllm:generation_tokens_total", 5) + f"vllm:prompt_tokens_total{rest}\n"
    with pytest.raises(ValueError):  # noqa: PT011 - the parser's own words
        known_values(page)


@given(st.sampled_from("{ "), st.text(alphabet='{}",=\\ \t_le1.0-+InfNa#', max_size=30))
def test_whatever_follows_a_known_name_nothing_but_a_value_error_is_raised(opening: str, rest: str) -> None:
    with suppress(ValueError):
        known_values(f"vllm:kv_cache_usage_perc{opening}{rest}")
    with suppress(ValueError):
        identity(f"vllm:cache_config_info{opening}{rest}")


def test_the_identity_of_real_vllm_is_its_start_and_the_settings_of_its_cache() -> None:
    said = identity(RECORDED)
    assert said["its start"] == "2026-11-23 13:58:42 UTC"
    assert (said["block_size"], said["gpu_memory_utilization"]) == ("128", "0.92")
    assert said["enable_prefix_caching"] == "True"


def test_the_identity_holds_no_number_of_an_engine() -> None:
    both = "".join(line("vllm:cache_config_info", 1, block_size=16, engine=engine) for engine in (1, 0))
    assert identity(both) == {"block_size": "16"}


def test_what_a_server_counts_is_no_part_of_its_identity() -> None:
    assert identity(RECORDED + line("vllm:prompt_tokens_total", 10**9)) == identity(RECORDED)


def test_another_start_is_another_identity() -> None:
    assert identity(f"{STARTED} 1.79544232258e+09\n") != identity(f"{STARTED} 1.79544232358e+09\n")


@pytest.mark.parametrize("start", ["NaN", "1e20"])
def test_a_start_that_is_no_time_is_unknown(start: str) -> None:
    assert identity(f"process_start_time_seconds {start}\n") == {}
