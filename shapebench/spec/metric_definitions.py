"""The metrics: the name, label, unit, direction and bounds of each metric; all else derives from this table.

Definitions: seconds throughout; `ttft_s` and `e2e_s` run from the request's first byte sent to the arrival of the
chunk that carries the first and the last token. Warm-up requests count only in `steady_tokens_per_s`.
A metric is a line here and a function of the same name in `analysis/metrics.py`.
"""

import math
from dataclasses import dataclass
from typing import Literal

Direction = Literal["lower", "higher"]
LOWER: Direction = "lower"
HIGHER: Direction = "higher"


@dataclass(frozen=True)
class Metric:
    """A number of a level; `better` is the direction in which it improves, None where neither is better."""

    name: str
    label: str
    unit: str
    better: Direction | None
    bounds: tuple[float, float] = (0, math.inf)  # what lies outside is impossible
    abbreviation: str = ""

    @property
    def short(self) -> str:
        """Its name where there is little room, such as "TTFT"."""
        return self.abbreviation or self.label[0].lower() + self.label[1:]


@dataclass(frozen=True)
class Distribution(Metric):
    """A metric with a value for each completed, measured request, or for each gap between its tokens."""

    of_each: Literal["request", "gap"] = "request"


class Total(Metric):
    """A metric with one value for a level."""


PERCENTILES = {f"p{p}": p for p in (25, 50, 75, 90, 95, 99)}
STATS = ("mean", "stddev", "min", *PERCENTILES, "max")
METRICS: tuple[Distribution | Total, ...] = (
    Distribution("ttft_s", "Time to first token", "s", LOWER, abbreviation="TTFT"),
    Distribution("time_to_first_answer_s", "Time to first token of the answer", "s", LOWER, abbreviation="TTFA"),
    Distribution("e2e_s", "End-to-end latency", "s", LOWER),
    Distribution("inter_token_s", "Time between tokens", "s", LOWER, of_each="gap"),
    Distribution("tpot_s", "Time per output token", "s", LOWER, abbreviation="TPOT"),
    Distribution("query_tokens_per_s", "Throughput of each query", "tokens/s", HIGHER, abbreviation="query throughput"),
    Distribution("input_tokens", "Input tokens", "tokens", None, (1, math.inf)),
    Distribution("output_tokens", "Output tokens", "tokens", None, (1, math.inf)),
    Distribution("reasoning_tokens", "Reasoning tokens", "tokens", None),
    Total("system_tokens_per_s", "System throughput", "tokens/s", HIGHER),
    Total("steady_tokens_per_s", "Steady throughput", "tokens/s", HIGHER),
    Total("steady_s", "Steady window", "s", None),
    Total("steady_concurrency", "Streams busy in the steady window", "streams", None),
    Total("mean_concurrency", "Streams busy from first to last", "streams", None),
    Total("ttft_precision", "95% interval of the mean TTFT, plus or minus a share of it", "1", None),
    Total("throughput_precision", "95% interval of the throughput, plus or minus a share", "1", None),
    Total("servers_answered", "Servers that answered", "servers", None, (1, math.inf)),
    Total("requests_per_min", "Requests completed", "1/min", HIGHER),
    Total("error_rate", "Error rate", "1", LOWER, (0, 1)),
    Total("slo_attainment", "Requests that meet all SLOs", "1", HIGHER, (0, 1), abbreviation="SLO attainment"),
    Total("goodput_requests_per_s", "Goodput", "requests/s", HIGHER),
    Total("goodput_tokens_per_s", "Goodput in output tokens", "tokens/s", HIGHER),
    Total("server_ttft_s", "Mean time to first token by the server", "s", LOWER),
    Total(
        "ttft_outside_server_s",
        "Mean time to first token spent in network and client",
        "s",
        LOWER,
        (-math.inf, math.inf),
    ),
    Total("server_inter_token_s", "Mean time between tokens by the server", "s", LOWER),
    Total("server_e2e_s", "Mean end-to-end latency by the server", "s", LOWER),
    Total("running_requests_max", "Most requests running at the server", "requests", None),
    Total("waiting_requests_max", "Most requests waiting at the server", "requests", None),
    Total("kv_cache_usage_max", "Fullest KV cache", "1", None),
    Total("preemptions", "Preemptions", "count", LOWER),
    Total("prefix_cache_hit_rate", "Prompt tokens found in the prefix cache", "1", HIGHER),
    Total("draft_acceptance_rate", "Tokens of speculative drafts that were accepted", "1", HIGHER, (0, 1)),
    Total("acceptance_length_tokens", "Tokens of each step that verifies a draft", "tokens", HIGHER, (1, math.inf)),
)
DISTRIBUTIONS = tuple(m for m in METRICS if isinstance(m, Distribution))
BOUNDS = {m.name: m.bounds for m in METRICS}
BETTER = {m.name: m.better for m in METRICS}
OF_EACH_REQUEST = {m.name: m.better for m in DISTRIBUTIONS if m.of_each == "request" and m.better}  # SLOs bind these
TOTALS = tuple(m for m in METRICS if isinstance(m, Total))
TOTAL = "total"  # the stat of a metric that has one value for a level


def column_name(metric: str, stat: str) -> str:
    """The metric and stat as a column of wide tables."""
    return metric if stat == TOTAL else f"{metric}_{stat}"


COLUMNS = (*(m.name for m in TOTALS), *(column_name(m.name, stat) for m in DISTRIBUTIONS for stat in STATS))
