"""Numbers, units and SLOs as people read them."""

import pytest

from shapebench.analysis.wording import quantities, quantity, slo_label
from shapebench.spec.slo import parse


@pytest.mark.parametrize(
    ("slo", "label"),
    [
        ("query_tokens_per_s mean >= 60", "60 tokens/s per query"),
        ("ttft_s p95 <= 0.5", "TTFT p95 ≤ 500 ms"),
        ("ttft_s p99 <= 1.5", "TTFT p99 ≤ 1.5 s"),
        ("query_tokens_per_s p25 >= 12.5", "query throughput p25 ≥ 12.5 tokens/s"),
        ("inter_token_s p99 <= 0.1", "time between tokens p99 ≤ 100 ms"),
        ("error_rate <= 1%", "error rate ≤ 1%"),
        ("system_tokens_per_s >= 12000", "system throughput ≥ 12,000 tokens/s"),
        ("system_tokens_per_s >= 2345", "system throughput ≥ 2,345 tokens/s"),
        ("goodput_requests_per_s >= 2", "goodput ≥ 2 requests/s"),
        ("requests_per_min >= 30", "requests completed ≥ 30 per minute"),
    ],
)
def test_an_slo_has_a_label_for_people(slo: str, label: str) -> None:
    assert slo_label(parse(slo)) == label


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("ttft_s", 0.0123456, "12.3 ms"),
        ("ttft_s", 1, "1 s"),
        ("ttft_s", 0, "0 ms"),
        ("ttft_outside_server_s", -0.002, "-2 ms"),
        ("system_tokens_per_s", 12345, "12,300 tokens/s"),
        ("kv_cache_usage_max", 0.875, "87.5%"),
        ("preemptions", 3, "3"),
    ],
)
def test_a_number_has_its_unit(metric: str, value: float, text: str) -> None:
    assert quantity(metric, value) == text


def test_two_numbers_share_a_unit_and_read_differently() -> None:
    assert quantities("ttft_s", 12.3456, 0.5) == ("12,300 ms", "500 ms")
    assert quantities("query_tokens_per_s", 100.04, 100) == ("100.04 tokens/s", "100 tokens/s")
