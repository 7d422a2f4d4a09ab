"""The expectations, each with what it says, how grave its failure is, and the reason for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import great_expectations.expectations as gxe

from shapebench.analysis.measured_level import MeasuredLevel

Severity = Literal["suspect", "invalid"]


def always(_: MeasuredLevel) -> bool:
    return True


def of_vllm(m: MeasuredLevel) -> bool:
    """Other servers' accounts are not read."""
    return m.level.is_vllm and m.level.error is None


@dataclass(frozen=True)
class Declared:
    """One expectation: `says` states in plain words what is expected, `otherwise` what was seen instead.

    `otherwise` is a format for the figures seen: of a level one number, {0}, and the level's others by name; of answers
    how many are not as expected, {count} of {all}, and the figures of the first of them. `sin` is what the test does
    that proves it.
    """

    name: str
    severity: Severity
    says: str
    otherwise: str
    reason: str
    expectation: gxe.Expectation
    sin: str
    applies: Callable[[MeasuredLevel], bool] = always

    @property
    def columns(self) -> set[str]:
        """What it looks at; where that is not to be had, it says nothing."""
        names = (getattr(self.expectation, kind, None) for kind in ("column", "column_A", "column_B"))
        return {name for name in names if name}


OTHER_LENGTHS = "Lengths of another distribution are another workload than the one named."
ASKED_FOR = "{{asked_{kind}_mean:g}} with a standard deviation of {{asked_{kind}_spread:g}} was asked for"
OF_LENGTHS = (  # name, what holds, what was seen, sin
    (
        "mean",
        "have the mean length asked for, as near as chance allows",
        "it is {{{kind}_mean:.1f}}",
        "They are longer by half a standard deviation or more, as was planned.",
    ),
    (
        "spread",
        "have the spread of lengths asked for, as near as chance allows",
        "their standard deviation is {{{kind}_spread:.1f}}",
        "They spread half as wide again, as was planned.",
    ),
    (
        "shape",
        "follow the distribution of lengths asked for, as near as chance allows (Kolmogorov-Smirnov)",
        "they differ {{0:.1f}} times as much as chance alone would have it",
        "They have one of two lengths, of the right mean and spread, as was planned.",
    ),
)


def _lengths(kind: str, those: str, applies: Callable[[MeasuredLevel], bool]) -> tuple[Declared, ...]:
    """What holds for lengths that are drawn from a distribution: each bound is crossed by chance once in a million."""
    return tuple(
        Declared(
            f"{kind}_lengths_have_the_{name}_asked",
            "suspect",
            f"{those} {says}",
            f"{otherwise}, where {ASKED_FOR}".format(kind=kind),
            OTHER_LENGTHS,
            gxe.ExpectColumnValuesToBeBetween(column=f"{kind}_{name}_excess", max_value=1),
            sin,
            applies,
        )
        for name, says, otherwise, sin in OF_LENGTHS
    )


ANSWERS = (
    Declared(
        "ttft_is_positive",
        "invalid",
        "The first token arrives after its request was sent",
        "{count} of {all} are otherwise, one with its first token after {0:.4g} s",
        "A token cannot come before it was asked for: the clock was set, or answers were mixed up.",
        gxe.ExpectColumnValuesToBeBetween(column="ttft_s", min_value=0, strict_min=True),
        "A first token is stamped 0.1 s before its request was sent.",
    ),
    Declared(
        "ttft_is_not_after_the_end",
        "invalid",
        "The first token arrives no later than the last",
        "{count} of {all} are otherwise, one with its last after {0:.4g} s and its first after {1:.4g} s",
        "Otherwise arrivals are out of order and no latency can be trusted.",
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="e2e_s", column_B="ttft_s", or_equal=True),
        "A first token is stamped after the last.",
    ),
    Declared(
        "token_counts_are_present",
        "invalid",
        "The server counted at least one output token for each answer",
        "{count} of {all} have none",
        "Throughput is made of the server's own counts.",
        gxe.ExpectColumnValuesToBeBetween(column="output_tokens", min_value=1),
        "The server's usage says that an answer had no tokens.",
    ),
    Declared(
        "chunks_agree_with_usage",
        "suspect",
        "The chunks of each answer carry as many tokens as the server counted",
        "{count} of {all} are otherwise, one with {0:.0f} in its chunks and {1:.0f} counted",
        "Where one chunk carries several tokens, times between tokens are times between chunks; with "
        "endpoint.continuous_usage the server says how many each carries.",
        gxe.ExpectColumnPairValuesToBeEqual(column_A="counted_tokens", column_B="output_tokens"),
        "The server puts two tokens into one chunk.",
    ),
    Declared(
        "output_lengths_are_as_asked",
        "invalid",
        "Each answer has exactly the length asked for",
        "{count} of {all} have not, one is {0:+.0f} tokens off",
        "min_tokens and ignore_eos fix the length; a server that ignores them answers another workload.",
        gxe.ExpectColumnValuesToBeBetween(column="unasked_output_tokens", min_value=0, max_value=0),
        "The server ends answers a token early.",
        applies=lambda m: m.level.enforced_output_tokens,
    ),
    Declared(
        "input_lengths_are_as_asked",
        "suspect",
        "The server counts as many prompt tokens as were planned, 2 more or fewer",
        "{count} of {all} are otherwise, one is {0:+.0f} tokens off",
        "Prompts were sized with the server's own tokenizer; a difference means another workload than the one named.",
        gxe.ExpectColumnValuesToBeBetween(column="unasked_input_tokens", min_value=-2, max_value=2, mostly=0.99),
        "The server counts 5 prompt tokens more than its tokenizer said.",
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
        "The measuring process is stopped.",
    ),
    Declared(
        "requests_are_accounted_for",
        "invalid",
        "Every planned request is there, completed or failed",
        "{0:.0f} are missing",
        "A request that is lost is most likely a slow one.",
        gxe.ExpectColumnValuesToBeBetween(column="unaccounted_requests", min_value=0, max_value=0),
        "A request is planned of which there is no sample.",
    ),
    Declared(
        "requests_completed",
        "invalid",
        "At least one request completed",
        "none did",
        "Without an answer there is nothing to measure.",
        gxe.ExpectColumnValuesToBeBetween(column="completed", min_value=1),
        "The server refuses all requests.",
    ),
    Declared(
        "metrics_are_possible",
        "invalid",
        "Every number lies within the bounds of its metric",
        "out of bounds: {0:.0f}",
        "A negative time, or an answer of no tokens, is an error of measurement, and the other numbers hold it too.",
        gxe.ExpectColumnValuesToBeBetween(column="impossible_metrics", max_value=0),
        "Tokens are stamped out of order, so that time between them is negative.",
    ),
    Declared(
        "errors_are_few",
        "invalid",
        "No more than 5% of the requests failed",
        "{0:.2%} did",
        "Failed requests are load that the server did not carry: the others look faster than they would be.",
        gxe.ExpectColumnValuesToBeBetween(column="error_rate", max_value=0.05),
        "The server refuses one request in ten.",
    ),
    Declared(
        "no_errors",
        "suspect",
        "No request failed",
        "{0:.2%} of them did",
        "Each failure is worth a look; its kind and message are in the view requests.",
        gxe.ExpectColumnValuesToBeBetween(column="error_rate", max_value=0),
        "The server refuses one request in fifty.",
    ),
    Declared(
        "concurrency_was_held",
        "suspect",
        "Within 2%, as many requests were in flight in the steady window as the level says",
        "there were {0:.1%} of them",
        "Little's law: requests in flight are the load; fewer of them make every latency look better.",
        gxe.ExpectColumnValuesToBeBetween(column="held_concurrency_ratio", min_value=0.98, max_value=1.02),
        "A stream pauses for 0.4 s of 5.",
    ),
    Declared(
        "steady_window_is_long",
        "suspect",
        "All streams were busy for at least half of the time measured",
        "they were for {0:.0%} of it",
        "Ramp-up and drain are another load than the one named.",
        gxe.ExpectColumnValuesToBeBetween(column="steady_share", min_value=0.5),
        "One answer takes four times as long as all the others together.",
    ),
    Declared(
        "client_kept_up",
        "invalid",
        "No measuring process was busy for more than 85% of the time",
        "one was for {0:.0%} of it; {processes_that_would_do:.0f} processes would do (load.processes)",
        "Where the client is the bottleneck, what is measured is the client.",
        gxe.ExpectColumnValuesToBeBetween(column="client_cpu_share", max_value=0.85),
        "The measuring process is busy for 90% of the time.",
    ),
    Declared(
        "client_adds_little",
        "suspect",
        "The client, tried out against a server of known timing, added no more than 2 ms to the median TTFT",
        "it added {0:.4g} s",
        "What the client adds there, it adds to this level, too.",
        gxe.ExpectColumnValuesToBeBetween(column="added_ttft_p50_s", max_value=0.002),
        "The calibration finds 20 ms.",
    ),
    Declared(
        "successors_were_sent_at_once",
        "suspect",
        "No more than 5% of the requests were sent later than 10 ms after their stream was free",
        "{0:.1%} were",
        "A stream that idles between requests is load that was not put on.",
        gxe.ExpectColumnValuesToBeBetween(column="late_send_share", max_value=0.05),
        "6 of 100 requests are sent late.",
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
        "The server holds tokens back and sends several at once.",
    ),
    Declared(
        "clock_did_not_step",
        "invalid",
        "The clock was not set while the level ran",
        "it was, by {0:.4g} s",
        "Times are differences of that clock, which the kernel's time stamps are taken from.",
        gxe.ExpectColumnValuesToBeBetween(column="clock_step_s", max_value=0.002),
        "The clock is set by 0.5 s.",
    ),
    Declared(
        "is_as_precise_as_asked",
        "suspect",
        "The means of TTFT and throughput are known as precisely as was asked",
        "the wider interval is {0:.1f} times that (inf: it was too short to tell)",
        "The level ended with its requests or its time before it could tell; let it go on for longer.",
        gxe.ExpectColumnValuesToBeBetween(column="imprecision", max_value=1.25),
        "A level of 10 requests is to be precise to 2%.",
        applies=lambda m: m.level.until_precise is not None,
    ),
    Declared(
        "output_lengths_are_near",
        "suspect",
        "The answers have 90 to 110% of the length asked for",
        "they have {0:.0%} of it",
        "MLPerf's rule: shorter answers are an easier workload.",
        gxe.ExpectColumnValuesToBeBetween(column="output_length_ratio", min_value=0.9, max_value=1.1),
        "The server ends answers early where their length is not enforced.",
    ),
    Declared(
        "one_stream_agrees_with_itself",
        "invalid",
        "With one stream, system throughput and the throughput of the queries agree within 5%",
        "the system's is {0:.1%} of theirs",
        "They are the same by definition: a difference is time that the client lost between requests.",
        gxe.ExpectColumnValuesToBeBetween(column="system_to_query_ratio", min_value=0.95, max_value=1.05),
        "The client pauses for 0.1 s before each request of 1 s.",
        applies=lambda m: m.level.concurrency == 1 and m.failed == 0,  # a failed request takes time, too
    ),
    Declared(
        "enough_requests_for_the_percentiles",
        "suspect",
        "Enough requests completed for every percentile that enough were planned for",
        "{completed:.0f} of the {planned:.0f} planned did, too few for {lost}",
        "A percentile p takes 5/(1-p) requests, or fewer than five lie beyond it: it would be the luck of a few. It is "
        "withheld.",
        gxe.ExpectColumnValuesToBeBetween(column="lost_percentiles", max_value=0),
        "The server refuses one of 100 requests, where 100 are what a 95th percentile takes.",
    ),
    Declared(
        "every_stream_was_alive_to_the_end",
        "invalid",
        "Every stream went on until there was no more to send",
        "{0:.0f} of {streams:.0f} ended before that",
        "A stream that dies takes its load with it, and the level runs on at a lower concurrency than its name says.",
        gxe.ExpectColumnValuesToBeBetween(column="streams_that_ended_early", max_value=0),
        "One of 10 streams dies after 6 of 10 requests.",
    ),
    *_lengths("input", "Prompts", lambda m: m.level.exact_prompts),
    *_lengths("output", "Answers", lambda m: m.level.enforced_output_tokens),
    Declared(
        "ttft_did_not_drift",
        "suspect",
        "From the first request to the last, the time to first token neither rose nor fell by more than 10%",
        "it changed by {ttft_drift:+.0%}, of which at least {0:+.0%} is not chance",
        "Then the warm-up was too short, or something changed meanwhile; the mean is of neither state.",
        gxe.ExpectColumnValuesToBeBetween(column="sure_ttft_drift", min_value=-0.1, max_value=0.1),
        "Each first token comes later than the one before, until they take twice as long.",
    ),
    Declared(
        "no_faster_than_the_memory",
        "invalid",
        "Tokens follow each other no faster than the shape's memory can be read for them",
        "they came {0:.1f} times as fast",
        "A step of decoding reads all weights once: the shape, the weights' size or the times are not what they seem.",
        gxe.ExpectColumnValuesToBeBetween(column="roofline_share", max_value=1),
        "A fast server is said to be one A10 that holds weights of 20 GB.",
    ),
    Declared(
        "the_server_gave_its_account",
        "suspect",
        "The server's own counters could be read before and after the level",
        "they could not: {server_error}",
        "Without them nobody knows whether somebody else was served, or answers came out of a cache.",
        gxe.ExpectColumnValuesToBeBetween(column="account_missing", max_value=0),
        "The server has no /metrics.",
        applies=of_vllm,
    ),
    Declared(
        "the_server_stayed_the_same",
        "invalid",
        "The server's version and configuration are the same after the level as before the run",
        "{what_changed}",
        "A run that met two servers speaks of neither.",
        gxe.ExpectColumnValuesToBeBetween(column="server_changes", max_value=0),
        "The server gives another version after the first requests.",
        applies=lambda m: m.level.error is None,
    ),
    Declared(
        "no_foreign_traffic",
        "suspect",
        "The server counted no tokens but those of the requests that were sent",
        "it counted {0:,.0f} more, and requests that were not sent: {foreign_requests:.0f}",
        "Somebody else used the endpoint meanwhile: the level is contaminated with load that is not in its name.",
        gxe.ExpectColumnValuesToBeBetween(column="foreign_tokens", max_value=0),
        "Somebody else sends one short request.",
    ),
    Declared(
        "foreign_traffic_is_little",
        "invalid",
        "What others sent is no more than 1% of the tokens",
        "it is {0:.1%} of our own",
        "So much of somebody else's load makes every number another one.",
        gxe.ExpectColumnValuesToBeBetween(column="foreign_share", max_value=0.01),
        "Somebody else sends as much as we do.",
    ),
    Declared(
        "the_server_counted_our_load",
        "suspect",
        "The server counted at least 99% of the requests and tokens that were answered",
        "it counted {0:.1%} of them",
        "Its account is of another server, or of one of several behind this address.",
        gxe.ExpectColumnValuesToBeBetween(column="counted_share", min_value=0.99),
        "The server leaves every second request out of its metrics.",
    ),
    Declared(
        "ttft_is_not_below_the_servers",
        "invalid",
        "The server does not report a longer mean time to first token than the client saw, give or take 1%",
        "it is {our_ttft_s:.4g} s, and {their_ttft_s:.4g} s by the server's",
        "No token reaches the client before the server has made it; what it is more is network and client.",
        gxe.ExpectColumnValuesToBeBetween(column="ttft_under_theirs", max_value=0.01),
        "The server's histogram holds twice the times.",
    ),
    Declared(
        "prompts_were_not_cached",
        "invalid",
        "The prefix cache had no more than 1% of the prompts' tokens, beside those that all prompts share",
        "it had {0:.1%}",
        "Prompts never repeat, so that prefill is measured; one that was met before measures the cache. Was the seed "
        "of an earlier run given? Leave it out, or start the server afresh.",
        gxe.ExpectColumnValuesToBeBetween(column="uncached_hit_share", max_value=0.01),
        "The same prompts are sent a second time, by the seed.",
    ),
    Declared(
        "no_preemptions",
        "suspect",
        "The server preempted no request",
        "it did {0:.0f} times",
        "Its KV cache was full: it threw work away and did it again, which is slower than a queue.",
        gxe.ExpectColumnValuesToBeBetween(column="preemptions", max_value=0),
        "The server's KV cache is too small for all streams.",
    ),
)
