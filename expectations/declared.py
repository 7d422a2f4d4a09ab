"""The expectations, each with what it says, how grave its failure is, and the reason for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import great_expectations.expectations as gxe

from shapebench.rows import Measured

Severity = Literal["suspect", "invalid"]


def always(_: Measured) -> bool:
    return True


@dataclass(frozen=True)
class Declared:
    """One expectation; `says` states in plain words what is expected."""

    name: str
    severity: Severity
    says: str
    reason: str
    expectation: gxe.Expectation
    applies: Callable[[Measured], bool] = always


ANSWERS = (
    Declared(
        "ttft_is_positive",
        "invalid",
        "The first token arrives after its request was sent",
        "A token cannot come before it was asked for: the clock was set, or answers were mixed up.",
        gxe.ExpectColumnValuesToBeBetween(column="ttft_s", min_value=0, strict_min=True),
    ),
    Declared(
        "ttft_is_not_after_the_end",
        "invalid",
        "The first token arrives no later than the last",
        "Otherwise arrivals are out of order and no latency can be trusted.",
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="e2e_s", column_B="ttft_s", or_equal=True),
    ),
    Declared(
        "token_counts_are_present",
        "invalid",
        "The server counted at least one output token for each answer",
        "Throughput is made of the server's own counts.",
        gxe.ExpectColumnValuesToBeBetween(column="output_tokens", min_value=1),
    ),
    Declared(
        "chunks_agree_with_usage",
        "suspect",
        "The chunks of each answer carry as many tokens as the server counted",
        "Where one chunk carries several tokens, times between tokens are times between chunks.",
        gxe.ExpectColumnPairValuesToBeEqual(column_A="counted_tokens", column_B="output_tokens"),
    ),
    Declared(
        "output_lengths_are_as_asked",
        "invalid",
        "Each answer has exactly the length asked for",
        "min_tokens and ignore_eos fix the length; a server that ignores them answers another workload.",
        gxe.ExpectColumnValuesToBeBetween(column="unasked_output_tokens", min_value=0, max_value=0),
        applies=lambda m: m.level.enforced_output_tokens,
    ),
    Declared(
        "input_lengths_are_as_asked",
        "suspect",
        "The server counts as many prompt tokens as were planned, 2 more or fewer",
        "Prompts were sized with the server's own tokenizer; a difference means another workload than the one named.",
        gxe.ExpectColumnValuesToBeBetween(column="unasked_input_tokens", min_value=-2, max_value=2, mostly=0.99),
        applies=lambda m: m.level.exact_prompts,
    ),
)

LEVEL = (
    Declared(
        "level_ran_to_its_end",
        "invalid",
        "The measuring process ran to its end",
        "A level that was cut short says nothing of the load it was to put on.",
        gxe.ExpectColumnValuesToBeBetween(column="stopped", max_value=0),
    ),
    Declared(
        "requests_are_accounted_for",
        "invalid",
        "Every planned request is there, completed or failed",
        "A request that is lost is most likely a slow one.",
        gxe.ExpectColumnValuesToBeBetween(column="unaccounted_requests", min_value=0, max_value=0),
    ),
    Declared(
        "requests_completed",
        "invalid",
        "At least one request completed",
        "Without an answer there is nothing to measure.",
        gxe.ExpectColumnValuesToBeBetween(column="completed", min_value=1),
    ),
    Declared(
        "errors_are_few",
        "invalid",
        "No more than 5% of the requests failed",
        "Failed requests are load that the server did not carry: the others look faster than they would be.",
        gxe.ExpectColumnValuesToBeBetween(column="error_rate", max_value=0.05),
    ),
    Declared(
        "no_errors",
        "suspect",
        "No request failed",
        "Each failure is worth a look; its kind and message are in the view requests.",
        gxe.ExpectColumnValuesToBeBetween(column="error_rate", max_value=0),
    ),
    Declared(
        "concurrency_was_held",
        "suspect",
        "Within 2%, as many requests were in flight in the steady window as the level says",
        "Little's law: requests in flight are the load; fewer of them make every latency look better.",
        gxe.ExpectColumnValuesToBeBetween(column="held_concurrency_ratio", min_value=0.98, max_value=1.02),
    ),
    Declared(
        "steady_window_is_long",
        "suspect",
        "All streams were busy for at least half of the time measured",
        "Ramp-up and drain are another load than the one named.",
        gxe.ExpectColumnValuesToBeBetween(column="steady_share", min_value=0.5),
    ),
    Declared(
        "output_lengths_are_near",
        "suspect",
        "The answers have 90 to 110% of the length asked for",
        "MLPerf's rule: shorter answers are an easier workload.",
        gxe.ExpectColumnValuesToBeBetween(column="output_length_ratio", min_value=0.9, max_value=1.1),
    ),
    Declared(
        "one_stream_agrees_with_itself",
        "invalid",
        "With one stream, system throughput and the throughput of a query agree within 5%",
        "They are the same by definition: a difference is time that the client lost between requests.",
        gxe.ExpectColumnValuesToBeBetween(column="system_to_query_ratio", min_value=0.95, max_value=1.05),
        applies=lambda m: m.level.concurrency == 1,
    ),
)
