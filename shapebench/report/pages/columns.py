"""The columns of the tables of levels: what stands in them, and what it means."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

ABSENT = "–"  # noqa: RUF001 - a dash, typographically


@dataclass(frozen=True)
class Form:
    """How a number is written: times a scale, with so many digits after the point."""

    digits: int
    scale: float = 1

    def __call__(self, value: Any) -> str:
        if value is None or pd.isna(value):
            return ABSENT
        return f"{value * self.scale:,.{self.digits}f}"


COUNT, RATE, PERCENT, MS = Form(0), Form(1), Form(1, 100), Form(1, 1000)


def _words(value: Any) -> str:
    return ABSENT if value is None or pd.isna(value) else str(value)


@dataclass(frozen=True)
class Column:
    """One column of a table of levels, out of a column of a view."""

    group: str  # columns that stand side by side under one heading; "" stands alone
    heading: str
    source: str  # its name in the view
    form: Any  # makes the text of a cell
    definition: str

    @property
    def name(self) -> str:
        return f"{self.group}, {self.heading}" if self.group else self.heading

    def cell(self, row: Mapping[Any, Any]) -> str:
        return str(self.form(row.get(self.source)))


def selected(columns: Iterable[Column]) -> str:
    """What to select from the view for a table."""
    return ", ".join([*(column.source for column in columns), "verdict"])


_SYSTEM, _TTFT, _GAP = "System tokens/s", "Time to first token (ms)", "Between tokens (ms)"
COLUMNS = (
    Column(
        "",
        "Concurrent users",
        "concurrency",
        COUNT,
        "Requests in flight all the time; an answer's end sends the next.",
    ),
    Column("", "Requests", "completed", COUNT, "Requests that completed, warm-up not counted."),
    Column(
        "",
        "Failed",
        "failed",
        COUNT,
        "Requests that ended in an error; the columns to the right are of the others.",
    ),
    Column(_SYSTEM, "whole", "system_tokens_per_s", RATE, "All output tokens, over first send to last arrival."),
    Column(_SYSTEM, "steady", "steady_tokens_per_s", RATE, "The same, only while all streams were busy."),
    Column(
        "",
        "Tokens/s for each query",
        "query_tokens_per_s_mean",
        RATE,
        "Output tokens over first byte sent to last token; mean.",
    ),
    Column(_TTFT, "mean", "ttft_s_mean", MS, "From the request's first byte sent to the arrival of the first token."),
    Column(_TTFT, "p50", "ttft_s_p50", MS, "Half of the requests waited no longer."),
    Column(
        _TTFT,
        "p95",
        "ttft_s_p95",
        MS,
        "95% waited no longer; the limit is held against this. Withheld below 100 requests.",
    ),
    Column(_TTFT, "p99", "ttft_s_p99", MS, "99% waited no longer. Withheld below 500 requests."),
    Column(
        _GAP,
        "p50",
        "inter_token_s_p50",
        MS,
        "Time from one token's arrival to the next; half of the gaps are no longer.",
    ),
    Column(_GAP, "p99", "inter_token_s_p99", MS, "99% of the gaps are no longer."),
)


ACCOUNT_COLUMNS = (
    COLUMNS[0],
    Column(
        "",
        "Mean TTFT by the server (ms)",
        "server_ttft_s",
        MS,
        "From its receiving a request to its first token.",
    ),
    Column(
        "",
        "Network and client (ms)",
        "ttft_outside_server_s",
        MS,
        "Mean time to first token by the client's clock, less that by the server's.",
    ),
    Column("", "Most running", "running_requests_max", COUNT, "Requests that the engine worked on at once, at most."),
    Column("", "Most waiting", "waiting_requests_max", COUNT, "Requests that waited for their turn, at most."),
    Column("", "KV cache (%)", "kv_cache_usage_max", PERCENT, "How full the cache of keys and values was, at most."),
    Column("", "Preemptions", "preemptions", COUNT, "Requests thrown out of a full cache, to be done again."),
    Column(
        "",
        "Prefix cache hits (%)",
        "prefix_cache_hit_rate",
        PERCENT,
        "Prompt tokens that it had met before; the chat template is the same in all prompts.",
    ),
)

CLIENT_COLUMNS = (
    COLUMNS[0],
    Column(
        "", "Clock", "timestamps", _words, "Whose time of arrival counts: the kernel's, or the client's own reading."
    ),
    Column("", "Processes", "processes", COUNT, "Measuring processes that shared the streams."),
    Column("", "Busy (%)", "cpu_share", PERCENT, "Share of its time for which the busiest of them was at work."),
    Column(
        "",
        "Lag p99 (ms)",
        "loop_lag_p99_s",
        Form(2, 1000),
        "How long what had arrived waited for the client to read it; kernel times do not suffer from it.",
    ),
    Column("", "Late sends", "late_sends", COUNT, "Requests sent later than 10 ms after their stream was free."),
    Column(
        "",
        "Adds to TTFT, p99 (ms)",
        "added_ttft_p99_s",
        Form(2, 1000),
        "What the client had added against a server of known timing, when it was tried out before.",
    ),
    Column(
        "",
        "Can take (tokens/s)",
        "capacity_tokens_per_s",
        COUNT,
        "Tokens/s that its processes can take, by what a token cost them then.",
    ),
)

SCALING_COLUMNS = (
    COLUMNS[0],
    Column("", "Tokens/s", "tokens_per_s", RATE, "Of the whole system; which of the two, the plot says."),
    Column("", "Ideal", "ideal_tokens_per_s", RATE, "Each user of them as fast as one of the lowest level."),
    Column("", "Reached (%)", "efficiency", Form(0, 100), "The share of the ideal."),
    Column(
        "",
        "Gained (%)",
        "gain_share",
        Form(0, 100),
        "What throughput gained since the level before, as a share of what the number of users gained.",
    ),
)
