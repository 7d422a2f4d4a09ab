"""Pages of other engines than vLLM are read under the same names; the files say where their names come from."""

import re
from pathlib import Path

import pytest

from shapebench.server_metrics import engines
from shapebench.server_metrics.engines import COUNTERS, ENGINES, GAUGES, HISTOGRAMS, NAMES
from shapebench.server_metrics.exposition import Values, engine, identity, known_values

RECORDED = Path(__file__).parents[2] / "contract" / "recorded"
PAGES = {
    "metrics.txt": engines.VLLM,
    "metrics_sglang.txt": engines.SGLANG,
    "metrics_sglang_0.4.txt": engines.SGLANG,
    "metrics_tgi.txt": engines.TGI,
    "metrics_trtllm.txt": engines.TRTLLM,
    "metrics_triton.txt": engines.TRITON,
    "metrics_llama_cpp.txt": engines.LLAMA_CPP,
}

REQUESTS = {"running_requests": 4, "waiting_requests": 2}
TOKENS = {"prompt_tokens": 2000, "generation_tokens": 200}
HITS = {"prefix_cache_queried_tokens": 2000, "prefix_cache_hit_tokens": 160}
DRAFTS = {"drafts": 76, "accepted_draft_tokens": 114}
TTFT = {"ttft_s_sum": 1.5, "ttft_s_count": 10}
GAPS = {"inter_token_s_sum": 1.9, "inter_token_s_count": 190}
E2E = {"e2e_s_sum": 3.4, "e2e_s_count": 10}
SAID = {  # all that is read of a page, but for buckets
    "metrics_sglang.txt": {
        **REQUESTS, **TOKENS, **HITS, **DRAFTS, **TTFT, **GAPS, **E2E,
        "kv_cache_usage": 0.28, "finished_requests": 10, "preemptions": 1,
    },
    "metrics_sglang_0.4.txt": {
        "running_requests": 162,
        "waiting_requests": 2826,
        "kv_cache_usage": 0.28,
        "prompt_tokens": 8128902,
        "generation_tokens": 7557572,
        "prefix_cache_queried_tokens": 8128902,
        "ttft_s_sum": 2.3518979474117756e06,
        "ttft_s_count": 11008,
        "e2e_s_sum": 3.116093850019932e06,
        "e2e_s_count": 11228,
    },
    "metrics_tgi.txt": {**REQUESTS, **TOKENS, **E2E, "finished_requests": 10},
    "metrics_trtllm.txt": {
        **REQUESTS, **TOKENS, **HITS, **DRAFTS, **TTFT, **GAPS, **E2E,
        "kv_cache_usage": 0.28, "finished_requests": 10, "draft_tokens": 228,
    },
    "metrics_triton.txt": {"running_requests": 1, "waiting_requests": 1, "kv_cache_usage": 0.4875},
    "metrics_llama_cpp.txt": {
        **REQUESTS, **DRAFTS, "kv_cache_usage": 0.28, "generation_tokens": 200, "draft_tokens": 228,
    },
}  # fmt: skip


def page(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


def totals(values: Values) -> dict[str, float]:
    """Drop the buckets, and add up what has labels."""
    found: dict[str, float] = {}
    for (name, _), value in values.items():
        if not name.endswith("_bucket"):
            found[name] = found.get(name, 0) + value
    return found


@pytest.mark.parametrize("name", PAGES)
def test_the_engine_is_told_by_the_names_on_its_page(name: str) -> None:
    assert engine(page(name)) == PAGES[name]


@pytest.mark.parametrize("name", SAID)
def test_each_number_that_means_the_same_is_read_and_no_other(name: str) -> None:
    assert totals(known_values(page(name))) == pytest.approx(SAID[name])


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("metrics_sglang.txt", "sglang:spec_accept_rate"),  # with the token that each verification adds, until 2026
        ("metrics_sglang.txt", "sglang:cache_hit_rate"),  # of the last batch
        ("metrics_sglang_0.4.txt", "sglang:time_per_output_token_seconds"),  # of a request, in some versions
        ("metrics_tgi.txt", "tgi_request_mean_time_per_token_duration"),
        ("metrics_tgi.txt", "tgi_request_skipped_tokens"),  # prefill counts as a step that accepts nothing
        ("metrics_trtllm.txt", "trtllm_time_per_output_token_seconds"),
        ("metrics_triton.txt", "nv_inference_request_success"),  # counts each model of the ensemble
        ("metrics_llama_cpp.txt", "llamacpp:prompt_tokens_total"),  # without cached ones
    ],
)
def test_a_number_of_another_meaning_is_not_read(name: str, other: str) -> None:
    lines = page(name).splitlines(keepends=True)
    without = [line for line in lines if not line.startswith(other)]
    assert len(without) < len(lines)
    assert known_values("".join(without)) == known_values(page(name))


def test_a_gateway_s_own_metrics_do_not_hide_the_engine() -> None:
    gateway = "process_start_time_seconds 1.7e9\ndynamo_frontend_requests_total 7\nllamacpp:requests_processing 1\n"
    assert engine(gateway + page("metrics_trtllm.txt")) == engines.TRTLLM


@pytest.mark.parametrize("text", ["", "http_requests_total 3\n", "process_start_time_seconds 1.7e9\n"])
def test_no_engine_is_told_by_other_names(text: str) -> None:
    assert engine(text) is None


def test_ranks_of_a_parallel_server_tell_of_the_same_requests() -> None:
    lines = [f'sglang:num_running_reqs{{dp_rank="{dp}",tp_rank="{tp}"}} {3 + dp}\n' for dp in (0, 1) for tp in (0, 1)]
    assert known_values("".join(lines)) == {("running_requests", ""): 7}


def test_a_counter_that_is_declared_and_has_no_value_yet_is_zero() -> None:
    text = 'sglang:num_running_reqs{tp_rank="0"} 0\n# TYPE sglang:cached_tokens_total counter\n'
    assert known_values(text)["prefix_cache_hit_tokens", ""] == 0


def test_a_counter_of_which_nothing_is_said_is_not_zero() -> None:
    assert known_values("sglang:num_running_reqs 0\n") == {("running_requests", ""): 0}


def test_without_drafts_nothing_was_accepted_and_nothing_refused() -> None:
    text = re.sub(r"(sglang:spec_verify_calls_total\{.*\}) .*", r"\1 0", page("metrics_sglang.txt"))
    assert ("accepted_draft_tokens", "") not in known_values(text)


def test_of_trtllm_without_decode_times_the_time_between_tokens_is_not_known() -> None:
    text = page("metrics_trtllm.txt").replace("trtllm_request_decode_time", "trtllm_other")
    assert not [name for name, _ in known_values(text) if name.startswith("inter_token_s")]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("metrics_sglang.txt", {"num_pages": "71671", "page_size": "1"}),
        ("metrics_trtllm.txt", {"enable_block_reuse": "True", "page_size": "32"}),
        ("metrics_tgi.txt", {}),
    ],
)
def test_the_identity_is_the_configuration_that_the_engine_tells(name: str, fields: dict[str, str]) -> None:
    assert identity(page(name)) == fields


def test_each_row_of_the_table_has_a_name_of_vllm_but_for_what_others_are_computed_from() -> None:
    assert [ours for ours, row in NAMES.items() if engines.VLLM not in row] == ["_decoding_s"]


def test_no_name_stands_for_two_engines() -> None:
    names = {(series.name, of) for row in NAMES.values() for of, cell in row.items() for series in cell}
    assert len({name for name, _ in names}) == len(names)
    assert {of for _, of in names} == set(ENGINES)


def test_a_metric_is_of_one_kind() -> None:
    assert len(NAMES) == len(GAUGES) + len(COUNTERS) + len(HISTOGRAMS)
