"""Columns of the tables of levels: source, format and definition."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, SupportsFloat, cast

import pandas as pd

ABSENT = "–"  # noqa: RUF001 - a dash, typographically


class Row(Protocol):
    """A row of a view, by the names of its columns."""

    def get(self, key: str, /) -> object: ...


def is_absent(value: object) -> bool:
    """Check for the values that stand for NULL: None, NaN and NaT."""
    return value is None or bool(pd.isna(cast("float", value)))


@dataclass(frozen=True)
class NumberFormat:
    """A number of digits after the point, and the scale from the unit of the view to the one shown."""

    digits: int
    scale: float = 1

    def __call__(self, value: object) -> str:
        if is_absent(value):
            return ABSENT
        return f"{float(cast('SupportsFloat', value)) * self.scale:,.{self.digits}f}"


COUNT, RATE, PERCENT, MS = NumberFormat(0), NumberFormat(1), NumberFormat(1, 100), NumberFormat(1, 1000)


def format_text(value: object) -> str:
    """Show a text, or a dash where there is none."""
    return ABSENT if is_absent(value) else str(value)


@dataclass(frozen=True)
class Column:
    """One column of a table of levels."""

    group: str  # columns of one group share a heading; "" has none
    heading: str
    source: str  # its name in the view
    format: Callable[[object], str]
    definition: str

    @property
    def name(self) -> str:
        return f"{self.group}, {self.heading}" if self.group else self.heading

    def cell(self, row: Row) -> str:
        return self.format(row.get(self.source))


def select_list(columns: Iterable[Column]) -> str:
    """List the columns that a table selects from its view, as SQL."""
    return ", ".join([*(column.source for column in columns), "verdict"])


_SYSTEM, _TTFT, _GAP = "System tokens/s", "Time to first token (ms)", "Time between tokens (ms)"
COLUMNS = (
    Column(
        *("", "Concurrent users", "concurrency", COUNT),
        "Requests in flight at any time; each response that ends starts the next request.",
    ),
    Column("", "Requests", "completed", COUNT, "Completed requests without warm-up."),
    Column("", "Failed", "failed", COUNT, "Failed requests; all latencies and throughputs are of the others."),
    Column(
        *(_SYSTEM, "overall", "system_tokens_per_s", RATE),
        "Output tokens of all requests, divided by the time from the first send to the last token.",
    ),
    Column(
        *(_SYSTEM, "steady", "steady_tokens_per_s", RATE),
        "Output tokens per second of the steady window, in which all streams were busy.",
    ),
    Column(
        *("", "Tokens/s per query", "query_tokens_per_s_mean", RATE),
        "Output tokens of a request, divided by the time from its first byte sent to its last token; mean.",
    ),
    Column(
        *(_TTFT, "mean", "ttft_s_mean", MS),
        "From the first byte of the request sent to the arrival of its first token; mean.",
    ),
    Column(_TTFT, "p50", "ttft_s_p50", MS, "Median."),
    Column(_TTFT, "p95", "ttft_s_p95", MS, "95th percentile; withheld below 100 requests."),
    Column(_TTFT, "p99", "ttft_s_p99", MS, "99th percentile; withheld below 500 requests."),
    Column(
        *(_GAP, "p50", "inter_token_s_p50", MS),
        "Inter-token latency, from the arrival of one token to the next; median.",
    ),
    Column(_GAP, "p99", "inter_token_s_p99", MS, "99th percentile."),
)

_ANSWER = "Time to first token of the answer (ms)"
REASONING_COLUMNS = (
    Column(
        *(_ANSWER, "mean", "time_to_first_answer_s_mean", MS),
        "From the first byte of the request sent to the first token that is not reasoning; mean.",
    ),
    Column(_ANSWER, "p95", "time_to_first_answer_s_p95", MS, "95th percentile; withheld below 100 requests."),
    Column("", "Reasoning tokens", "reasoning_tokens_mean", COUNT, "Tokens of the reasoning of a request; mean."),
)


def level_columns(levels: pd.DataFrame) -> tuple[Column, ...]:
    """Return the columns of the table of levels: those about reasoning only where there is some."""
    reasoned = "reasoning_tokens_max" in levels and levels["reasoning_tokens_max"].fillna(0).gt(0).any()
    return (*COLUMNS, *REASONING_COLUMNS) if reasoned else COLUMNS


SERVER_COLUMNS = (
    COLUMNS[0],
    Column(
        *("", "Server TTFT, mean (ms)", "server_ttft_s", MS),
        "From receiving a request to its first token, by the clock of the server.",
    ),
    Column(
        *("", "Network and client, mean (ms)", "ttft_outside_server_s", MS),
        "Mean TTFT at the client minus mean TTFT at the server.",
    ),
    Column("", "Max. running", "running_requests_max", COUNT, "Maximum number of requests that the engine processed."),
    Column("", "Max. waiting", "waiting_requests_max", COUNT, "Maximum number of requests in the queue."),
    Column("", "Max. KV cache usage (%)", "kv_cache_usage_max", PERCENT, "Maximum share of KV cache blocks in use."),
    Column("", "Preemptions", "preemptions", COUNT, "Requests evicted from a full KV cache and computed again."),
    Column(
        *("", "Prefix cache hits (%)", "prefix_cache_hit_rate", PERCENT),
        "Share of prompt tokens found in the prefix cache; all prompts share the chat template.",
    ),
    Column(
        *("", "Drafts accepted (%)", "draft_acceptance_rate", PERCENT),
        "Share of the tokens that speculative decoding drafted and the model accepted.",
    ),
)

CLIENT_COLUMNS = (
    COLUMNS[0],
    Column(
        *("", "Timestamps", "timestamps", format_text),
        "Source of arrival times: kernel receive timestamps, or the clock of the client process (user).",
    ),
    Column("", "Processes", "processes", COUNT, "Client processes that shared the streams."),
    Column("", "CPU (%)", "cpu_share", PERCENT, "CPU usage of the busiest client process."),
    Column(
        *("", "Event loop lag, p99 (ms)", "loop_lag_p99_s", NumberFormat(2, 1000)),
        "Delay between the arrival of data and the read by the client; kernel timestamps do not include it.",
    ),
    Column("", "Late sends", "late_sends", COUNT, "Requests sent more than 10 ms after their stream was free."),
    Column(
        *("", "Added TTFT, p99 (ms)", "added_ttft_p99_s", NumberFormat(2, 1000)),
        "TTFT that the client added in its calibration against a server of known timing.",
    ),
    Column(
        *("", "Capacity (tokens/s)", "capacity_tokens_per_s", COUNT),
        "Tokens/s that the client processes can receive, from the CPU time per token in the calibration.",
    ),
)

SCALING_COLUMNS = (
    COLUMNS[0],
    Column("", "Tokens/s", "tokens_per_s", RATE, "Throughput of the system, as plotted."),
    Column("", "Linear tokens/s", "ideal_tokens_per_s", RATE, "Throughput per user at the lowest level, times users."),
    Column("", "Efficiency (%)", "efficiency", NumberFormat(0, 100), "Throughput as a share of linear scaling."),
    Column(
        *("", "Marginal gain (%)", "gain_share", NumberFormat(0, 100)),
        "Growth of throughput since the level before, as a share of the growth in users.",
    ),
)
