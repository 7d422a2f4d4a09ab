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
    """One expectation: `says` states in plain words what is expected, `otherwise` what was seen instead.

    `otherwise` is a format for the figures seen: of a level one number, {0}, and the level's others by name; of answers
    how many are not as expected, {count} of {all}, and the figures of the first of them.
    """

    name: str
    severity: Severity
    says: str
    otherwise: str
    reason: str
    expectation: gxe.Expectation
    applies: Callable[[Measured], bool] = always

    @property
    def columns(self) -> set[str]:
        """What it looks at; where that is not to be had, it says nothing."""
        names = (getattr(self.expectation, kind, None) for kind in ("column", "column_A", "column_B"))
        return {name for name in names if name}


ANSWERS = (
    Declared(
        "ttft_is_positive",
        "invalid",
        "The first token arrives after its request was sent",
        "{count} of {all} are otherwise, one with its first token after {0:.4g} s",
        "A token cannot come before it was asked for: the clock was set, or answers were mixed up.",
        gxe.ExpectColumnValuesToBeBetween(column="ttft_s", min_value=0, strict_min=True),
    ),
    Declared(
        "ttft_is_not_after_the_end",
        "invalid",
        "The first token arrives no later than the last",
        "{count} of {all} are otherwise, one with its last after {0:.4g} s and its first after {1:.4g} s",
        "Otherwise arrivals are out of order and no latency can be trusted.",
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="e2e_s", column_B="ttft_s", or_equal=True),
    ),
    Declared(
        "token_counts_are_present",
        "invalid",
        "The server counted at least one output token for each answer",
        "{count} of {all} have none",
        "Throughput is made of the server's own counts.",
        gxe.ExpectColumnValuesToBeBetween(column="output_tokens", min_value=1),
    ),
    Declared(
        "chunks_agree_with_usage",
        "suspect",
        "The chunks of each answer carry as many tokens as the server counted",
        "{count} of {all} are otherwise, one with {0:.0f} in its chunks and {1:.0f} counted",
        "Where one chunk carries several tokens, times between tokens are times between chunks.",
        gxe.ExpectColumnPairValuesToBeEqual(column_A="counted_tokens", column_B="output_tokens"),
    ),
    Declared(
        "output_lengths_are_as_asked",
        "invalid",
        "Each answer has exactly the length asked for",
        "{count} of {all} have not, one is {0:+.0f} tokens off",
        "min_tokens and ignore_eos fix the length; a server that ignores them answers another workload.",
        gxe.ExpectColumnValuesToBeBetween(column="unasked_output_tokens", min_value=0, max_value=0),
        applies=lambda m: m.level.enforced_output_tokens,
    ),
    Declared(
        "input_lengths_are_as_asked",
        "suspect",
        "The server counts as many prompt tokens as were planned, 2 more or fewer",
        "{count} of {all} are otherwise, one is {0:+.0f} tokens off",
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
        "it was cut short",
        "A level that was cut short says nothing of the load it was to put on.",
        gxe.ExpectColumnValuesToBeBetween(column="stopped", max_value=0),
    ),
    Declared(
        "requests_are_accounted_for",
        "invalid",
        "Every planned request is there, completed or failed",
        "{0:.0f} are missing",
        "A request that is lost is most likely a slow one.",
        gxe.ExpectColumnValuesToBeBetween(column="unaccounted_requests", min_value=0, max_value=0),
    ),
    Declared(
        "requests_completed",
        "invalid",
        "At least one request completed",
        "none did",
        "Without an answer there is nothing to measure.",
        gxe.ExpectColumnValuesToBeBetween(column="completed", min_value=1),
    ),
    Declared(
        "metrics_are_possible",
        "invalid",
        "Every number lies within the bounds of its metric",
        "out of bounds: {0:.0f}",
        "A negative time, or an answer of no tokens, is an error of measurement, and the other numbers hold it too.",
        gxe.ExpectColumnValuesToBeBetween(column="impossible_metrics", max_value=0),
    ),
    Declared(
        "errors_are_few",
        "invalid",
        "No more than 5% of the requests failed",
        "{0:.2%} did",
        "Failed requests are load that the server did not carry: the others look faster than they would be.",
        gxe.ExpectColumnValuesToBeBetween(column="error_rate", max_value=0.05),
    ),
    Declared(
        "no_errors",
        "suspect",
        "No request failed",
        "{0:.2%} of them did",
        "Each failure is worth a look; its kind and message are in the view requests.",
        gxe.ExpectColumnValuesToBeBetween(column="error_rate", max_value=0),
    ),
    Declared(
        "concurrency_was_held",
        "suspect",
        "Within 2%, as many requests were in flight in the steady window as the level says",
        "there were {0:.1%} of them",
        "Little's law: requests in flight are the load; fewer of them make every latency look better.",
        gxe.ExpectColumnValuesToBeBetween(column="held_concurrency_ratio", min_value=0.98, max_value=1.02),
    ),
    Declared(
        "steady_window_is_long",
        "suspect",
        "All streams were busy for at least half of the time measured",
        "they were for {0:.0%} of it",
        "Ramp-up and drain are another load than the one named.",
        gxe.ExpectColumnValuesToBeBetween(column="steady_share", min_value=0.5),
    ),
    Declared(
        "client_kept_up",
        "invalid",
        "No measuring process was busy for more than 85% of the time",
        "one was for {0:.0%} of it; {processes_that_would_do:.0f} processes would do (load.processes)",
        "Where the client is the bottleneck, what is measured is the client.",
        gxe.ExpectColumnValuesToBeBetween(column="client_cpu_share", max_value=0.85),
    ),
    Declared(
        "client_adds_little",
        "suspect",
        "The client, tried out against a server of known timing, added no more than 2 ms to the median TTFT",
        "it added {0:.4g} s",
        "What the client adds there, it adds to this level, too.",
        gxe.ExpectColumnValuesToBeBetween(column="added_ttft_p50_s", max_value=0.002),
    ),
    Declared(
        "successors_were_sent_at_once",
        "suspect",
        "No more than 5% of the requests were sent later than 10 ms after their stream was free",
        "{0:.1%} were",
        "A stream that idles between requests is load that was not put on.",
        gxe.ExpectColumnValuesToBeBetween(column="late_send_share", max_value=0.05),
        applies=lambda m: m.level.planned_requests >= 100,  # of fewer, one would be many
    ),
    Declared(
        "tokens_came_apart",
        "suspect",
        "No more than 1% of the tokens came in one receive with the one before",
        "{0:.1%} did",
        "Of tokens that came together it is not known when each came: either the client was late to read them (let it "
        "have a real-time priority: CAP_SYS_NICE, rtprio in limits.conf), or the server sends several at once.",
        gxe.ExpectColumnValuesToBeBetween(column="shared_receive_share", max_value=0.01),
    ),
    Declared(
        "clock_did_not_step",
        "invalid",
        "The clock was not set while the level ran",
        "it was, by {0:.4g} s",
        "Times are differences of that clock, which the kernel's time stamps are taken from.",
        gxe.ExpectColumnValuesToBeBetween(column="clock_step_s", max_value=0.002),
    ),
    Declared(
        "is_as_precise_as_asked",
        "suspect",
        "The means of TTFT and throughput are known as precisely as was asked",
        "the wider interval is {0:.1f} times that (inf: it was too short to tell)",
        "The level ended with its requests or its time before it could tell; let it go on for longer.",
        gxe.ExpectColumnValuesToBeBetween(column="imprecision", max_value=1.25),
        applies=lambda m: m.level.until_precise is not None,
    ),
    Declared(
        "output_lengths_are_near",
        "suspect",
        "The answers have 90 to 110% of the length asked for",
        "they have {0:.0%} of it",
        "MLPerf's rule: shorter answers are an easier workload.",
        gxe.ExpectColumnValuesToBeBetween(column="output_length_ratio", min_value=0.9, max_value=1.1),
    ),
    Declared(
        "one_stream_agrees_with_itself",
        "invalid",
        "With one stream, system throughput and the throughput of the queries agree within 5%",
        "the system's is {0:.1%} of theirs",
        "They are the same by definition: a difference is time that the client lost between requests.",
        gxe.ExpectColumnValuesToBeBetween(column="system_to_query_ratio", min_value=0.95, max_value=1.05),
        applies=lambda m: m.level.concurrency == 1 and m.failed == 0,  # a failed request takes time, too
    ),
)
