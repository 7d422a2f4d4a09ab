"""The columns of the tables of levels: what stands in them, and what it means."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

ABSENT = "–"  # noqa: RUF001 - a dash, typographically


@dataclass(frozen=True)
class Column:
    """One column of the table of levels: `cell` makes the text of a row's cell."""

    group: str  # columns that stand side by side under one heading; "" stands alone
    heading: str
    cell: Callable[[Mapping[str, Any]], str]
    definition: str

    @property
    def name(self) -> str:
        return f"{self.group}, {self.heading}" if self.group else self.heading


def _number(column: str, digits: int, scale: float, row: Mapping[str, Any]) -> str:
    value = row.get(column)
    return ABSENT if value is None or pd.isna(value) else f"{value * scale:,.{digits}f}"


def _count(column: str) -> Callable[[Mapping[str, Any]], str]:
    return partial(_number, column, 0, 1)


def _rate(column: str) -> Callable[[Mapping[str, Any]], str]:
    return partial(_number, column, 1, 1)


def _percent(column: str) -> Callable[[Mapping[str, Any]], str]:
    return partial(_number, column, 1, 100)


def _ms(column: str) -> Callable[[Mapping[str, Any]], str]:
    return partial(_number, column, 1, 1000)


_SYSTEM, _TTFT, _GAP = "System tokens/s", "Time to first token (ms)", "Between tokens (ms)"
COLUMNS = (
    Column(
        "",
        "Concurrent users",
        _count("concurrency"),
        "Requests in flight all the time; an answer's end sends the next.",
    ),
    Column("", "Requests", _count("completed"), "Requests that completed, warm-up not counted."),
    Column(
        "", "Failed", _count("failed"), "Requests that ended in an error; the columns to the right are of the others."
    ),
    Column(_SYSTEM, "whole", _rate("system_tokens_per_s"), "All output tokens, over first send to last arrival."),
    Column(_SYSTEM, "steady", _rate("steady_tokens_per_s"), "The same, only while all streams were busy."),
    Column(
        "",
        "Tokens/s for each query",
        _rate("query_tokens_per_s_mean"),
        "Output tokens over first byte sent to last token; mean.",
    ),
    Column(_TTFT, "mean", _ms("ttft_s_mean"), "From the request's first byte sent to the arrival of the first token."),
    Column(_TTFT, "p50", _ms("ttft_s_p50"), "Half of the requests waited no longer."),
    Column(
        _TTFT,
        "p95",
        _ms("ttft_s_p95"),
        "95% waited no longer; the limit is held against this. Withheld below 100 requests.",
    ),
    Column(_TTFT, "p99", _ms("ttft_s_p99"), "99% waited no longer. Withheld below 500 requests."),
    Column(
        _GAP,
        "p50",
        _ms("inter_token_s_p50"),
        "Time from one token's arrival to the next; half of the gaps are no longer.",
    ),
    Column(_GAP, "p99", _ms("inter_token_s_p99"), "99% of the gaps are no longer."),
)


ACCOUNT_COLUMNS = (
    COLUMNS[0],
    Column(
        "", "Mean TTFT by the server (ms)", _ms("server_ttft_s"), "From its receiving a request to its first token."
    ),
    Column(
        "",
        "Network and client (ms)",
        _ms("ttft_outside_server_s"),
        "Mean time to first token by the client's clock, less that by the server's.",
    ),
    Column("", "Most running", _count("running_requests_max"), "Requests that the engine worked on at once, at most."),
    Column("", "Most waiting", _count("waiting_requests_max"), "Requests that waited for their turn, at most."),
    Column("", "KV cache (%)", _percent("kv_cache_usage_max"), "How full the cache of keys and values was, at most."),
    Column("", "Preemptions", _count("preemptions"), "Requests thrown out of a full cache, to be done again."),
    Column(
        "",
        "Prefix cache hits (%)",
        _percent("prefix_cache_hit_rate"),
        "Prompt tokens that it had met before; the chat template is the same in all prompts.",
    ),
)
