"""The expectations: what must hold, how bad a failure is, why it matters and what to do about it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import great_expectations.expectations as gxe

from shapebench.analysis.measured_level import MeasuredLevel

Severity = Literal["suspect", "invalid"]


def always(_: MeasuredLevel) -> bool:
    return True


def has_metrics(m: MeasuredLevel) -> bool:
    """Tell whether metrics are to be had: vLLM always has them, other servers only where they were read."""
    return (m.level.is_vllm or m.level.server_metrics is not None) and m.level.error is None


@dataclass(frozen=True)
class Expectation:
    """One expectation: a sentence for when it `holds`, one for when it `fails`, and a `remedy` for that.

    `fails` and `remedy` are formats for figures. A level has one figure, {0}, and others by name; answers
    have {count}, {all} and the figures of the first answer that fails: {0}, {1}. `fault` is what a server
    or client does in the test that proves it.
    """

    name: str
    severity: Severity
    holds: str
    fails: str
    remedy: str
    reason: str
    check: gxe.Expectation
    fault: str
    applies: Callable[[MeasuredLevel], bool] = always

    @property
    def columns(self) -> set[str]:
        """Columns that it needs; without them it is skipped."""
        names = (getattr(self.check, kind, None) for kind in ("column", "column_A", "column_B"))
        return {name for name in names if name}


# What is expected of lengths, KIND being input or output: name, holds, fails, fault.
OF_LENGTHS = (
    (
        "mean",
        "have the requested mean length, as far as chance allows.",
        "have a mean length of {KIND_mean:.1f} tokens, where {requested_KIND_mean:g} were requested.",
        "Their planned mean is too large by half a standard deviation or more.",
    ),
    (
        "spread",
        "have the requested standard deviation of lengths, as far as chance allows.",
        "have lengths of a standard deviation of {KIND_spread:.1f}, where {requested_KIND_stddev:g} was requested.",
        "Their planned standard deviation is half as large again.",
    ),
    (
        "shape",
        "follow the requested distribution of lengths, as far as chance allows (Kolmogorov-Smirnov).",
        "have lengths that deviate from the requested distribution {0:.1f} times as much as chance explains.",
        "Their planned lengths are one of two, with the right mean and standard deviation.",
    ),
)


def _lengths(kind: str, those: str, remedy: str, applies: Callable[[MeasuredLevel], bool]) -> tuple[Expectation, ...]:
    """Declare what holds for lengths of a distribution; chance crosses each bound once in a million levels."""
    return tuple(
        Expectation(
            f"{kind}_lengths_have_the_{name}_asked",
            "suspect",
            f"{those} {holds}",
            f"{those} {fails.replace('KIND', kind)}",
            remedy,
            "With another distribution of lengths it is not the requested workload.",
            gxe.ExpectColumnValuesToBeBetween(column=f"{kind}_{name}_excess", max_value=1),
            fault,
            applies,
        )
        for name, holds, fails, fault in OF_LENGTHS
    )


ANSWERS = (
    Expectation(
        "ttft_is_positive",
        "invalid",
        "The first token of each answer arrived after its request was sent.",
        "In {count} of {all} answers the first token did not arrive after the request was sent, in one of them the "
        "time to it is {0:.4g} s.",
        "Keep time services from stepping the clock during a run, and measure again.",
        "A token cannot come before its request: the clock was set, or answers were mixed up.",
        gxe.ExpectColumnValuesToBeBetween(column="ttft_s", min_value=0, strict_min=True),
        "A first token is stamped 0.1 s before its request was sent.",
    ),
    Expectation(
        "ttft_is_not_after_the_end",
        "invalid",
        "The first token of each answer arrived no later than the last.",
        "In {count} of {all} answers the first token arrived after the last, in one of them after {1:.4g} s and "
        "{0:.4g} s.",
        "Measure again; if it recurs, report it as a bug with the raw samples.",
        "Arrivals out of order mean that no latency can be trusted.",
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="e2e_s", column_B="ttft_s", or_equal=True),
        "A first token is stamped after the last.",
    ),
    Expectation(
        "token_counts_are_present",
        "invalid",
        "The server counted at least one output token for each answer.",
        "The server counted no output tokens for {count} of {all} answers.",
        "Check that the server reports usage for streamed answers (stream_options.include_usage).",
        "Throughput is computed from the server's own counts.",
        gxe.ExpectColumnValuesToBeBetween(column="output_tokens", min_value=1),
        "The server's usage reports no tokens for an answer.",
    ),
    Expectation(
        "chunks_agree_with_usage",
        "suspect",
        "The chunks of each answer carried as many tokens as the server counted.",
        "In {count} of {all} answers the number of chunks is not that of the tokens that the server counted, in one of "
        "them {0:.0f} instead of {1:.0f}: tokens are apportioned to chunks by their share of the text.",
        "For exact times between tokens, have the server send a token in each chunk, or usage with each chunk "
        "(endpoint.continuous_usage), if it can; TTFT, TPOT and throughput are exact anyway.",
        "If a chunk has several tokens, or a part of one, the times between single tokens are estimates.",
        gxe.ExpectColumnPairValuesToBeEqual(column_A="carried_tokens", column_B="output_tokens"),
        "The server puts two tokens into one chunk.",
    ),
    Expectation(
        "output_lengths_are_as_asked",
        "invalid",
        "Each answer has exactly the requested length.",
        "The length of {count} of {all} answers differs from the requested one, of one of them by {0:+.0f} tokens.",
        "Check that the server honours min_tokens and ignore_eos, or measure without them: "
        "workload.enforce_output_tokens: false (--no-enforce-output-tokens).",
        "With other lengths it is not the requested workload.",
        gxe.ExpectColumnValuesToBeBetween(column="output_length_error", min_value=0, max_value=0),
        "The server ends answers a token early.",
        applies=lambda m: m.level.enforced_output_tokens,
    ),
    Expectation(
        "input_lengths_are_as_asked",
        "suspect",
        "The server counted as many prompt tokens as planned, within 2.",
        "For {count} of {all} prompts the server counted more or fewer tokens than planned, for one of them {0:+.0f}.",
        "Check that the server's /tokenize uses the tokenizer and chat template of the served model.",
        "Prompts were sized with the server's own tokenizer; a difference means that it is not the requested workload.",
        gxe.ExpectColumnValuesToBeBetween(column="input_length_error", min_value=-2, max_value=2, mostly=0.99),
        "The server counts 5 prompt tokens more than its tokenizer.",
        applies=lambda m: m.level.exact_prompts,
    ),
)

LEVEL = (
    Expectation(
        "level_ran_to_its_end",
        "invalid",
        "The measuring process finished the level.",
        "The measuring process did not finish the level: {error}.",
        "Resume the run to measure the level again.",
        "An interrupted level did not apply its full load.",
        gxe.ExpectColumnValuesToBeBetween(column="stopped", max_value=0),
        "The measuring process is stopped.",
    ),
    Expectation(
        "requests_are_accounted_for",
        "invalid",
        "Every planned request is in the samples, completed or failed.",
        "Of {planned_requests:.0f} planned requests, {0:.0f} are missing from the samples.",
        "Check that the disk of the data folder is not full, and measure again.",
        "Missing requests are probably the slow ones.",
        gxe.ExpectColumnValuesToBeBetween(column="unaccounted_requests", min_value=0, max_value=0),
        "A planned request has no sample.",
    ),
    Expectation(
        "requests_completed",
        "invalid",
        "At least one request completed.",
        "Of {planned_requests:.0f} requests, none completed.",
        "See their error messages in the view requests, and the server's log.",
        "Without an answer there is nothing to measure.",
        gxe.ExpectColumnValuesToBeBetween(column="completed", min_value=1),
        "The server rejects all requests.",
    ),
    Expectation(
        "metrics_are_possible",
        "invalid",
        "Every metric lies within its possible range.",
        "Outside their possible range: {0:.0f} of the level's metrics.",
        "Measure again; if it recurs, report it as a bug with the raw samples.",
        "A negative time, or an answer without tokens, is a measurement error, which affects other metrics, too.",
        gxe.ExpectColumnValuesToBeBetween(column="impossible_metrics", max_value=0),
        "Tokens are stamped out of order, so that time between them is negative.",
    ),
    Expectation(
        "errors_are_few",
        "invalid",
        "No more than 5% of the requests failed.",
        "{0:.2%} of the requests failed, where 5% are allowed.",
        "Find the cause in the view requests (error_kind, error_message) and in the server's log.",
        "Failed requests reduce the load: the others look faster than they would be.",
        gxe.ExpectColumnValuesToBeBetween(column="error_rate", max_value=0.05),
        "The server rejects one request in ten.",
    ),
    Expectation(
        "no_errors",
        "suspect",
        "No request failed.",
        "{0:.2%} of the requests failed.",
        "See their error_kind and error_message in the view requests.",
        "Each failure reduces the load.",
        gxe.ExpectColumnValuesToBeBetween(column="error_rate", max_value=0),
        "The server rejects one request in fifty.",
    ),
    Expectation(
        "concurrency_was_held",
        "suspect",
        "In the steady window the requests in flight were within 2% of the level's concurrency.",
        "In the steady window the requests in flight were {0:.1%} of the level's concurrency.",
        "Run the client on an idle machine, and measure for longer (load.duration_s).",
        "Little's law: requests in flight are the load; fewer of them make every latency look better.",
        gxe.ExpectColumnValuesToBeBetween(column="concurrency_ratio", min_value=0.98, max_value=1.02),
        "A stream pauses for 0.4 s of 5.",
    ),
    Expectation(
        "steady_window_is_long",
        "suspect",
        "All streams were busy for at least half of the measured time.",
        "All streams were busy for only {0:.0%} of the measured time.",
        "Measure for longer (load.duration_s, load.requests).",
        "During ramp-up and drain the load is lower than the level's concurrency.",
        gxe.ExpectColumnValuesToBeBetween(column="steady_share", min_value=0.5),
        "One answer takes four times as long as all the others together.",
    ),
    Expectation(
        "client_kept_up",
        "invalid",
        "No measuring process was busy for more than 85% of the time.",
        "A measuring process was busy for {0:.0%} of the time, where 85% are allowed.",
        "Set load.processes to {processes_that_would_do:.0f}.",
        "If the client is the bottleneck, the client is measured, not the server.",
        gxe.ExpectColumnValuesToBeBetween(column="client_cpu_share", max_value=0.85),
        "The measuring process is busy for 90% of the time.",
    ),
    Expectation(
        "client_adds_little",
        "suspect",
        "In its calibration the client added no more than 2 ms to the median TTFT.",
        "In its calibration the client added {0:.4g} s to the median TTFT, where 0.002 s are allowed.",
        "Close other programs on the client's machine, or measure from a faster one.",
        "The client adds about the same delay to this level.",
        gxe.ExpectColumnValuesToBeBetween(column="added_ttft_p50_s", max_value=0.002),
        "The calibration finds 20 ms.",
    ),
    Expectation(
        "successors_were_sent_at_once",
        "suspect",
        "No more than 5% of the requests were sent later than 10 ms after their stream was free.",
        "{0:.1%} of the requests were sent later than 10 ms after their stream was free, where 5% are allowed.",
        "Close other programs on the client's machine, or raise load.processes.",
        "A stream that idles between requests reduces the load.",
        gxe.ExpectColumnValuesToBeBetween(column="late_send_share", max_value=0.05),
        "6 of 100 requests are sent late.",
        applies=lambda m: m.level.planned_requests >= 100,  # of fewer, one would be many
    ),
    Expectation(
        "tokens_came_apart",
        "suspect",
        "No more than 1% of the tokens arrived in one read with the token before.",
        "{0:.1%} of the tokens arrived in one read with the token before, where 1% are allowed.",
        "Give the client real-time priority (CAP_SYS_NICE, or rtprio in limits.conf), unless the server sends several "
        "tokens at once.",
        "The arrival time of each of these tokens is unknown.",
        gxe.ExpectColumnValuesToBeBetween(column="shared_receive_share", max_value=0.01),
        "The server delays tokens and sends several at once.",
    ),
    Expectation(
        "answers_came_as_they_were_generated",
        "invalid",
        "No more than 5% of the longer answers arrived all at once.",
        "{0:.0%} of the longer answers arrived all at once, where 5% are allowed: they were held back until their end.",
        "Let the server stream, and turn off what holds answers back between it and the client (nginx: proxy_buffering "
        "off).",
        "TTFT is then the time of the whole answer, and nothing is known of the times between tokens.",
        gxe.ExpectColumnValuesToBeBetween(column="at_once_share", max_value=0.05),
        "A gateway sends each answer at its end.",
    ),
    Expectation(
        "clock_did_not_step",
        "invalid",
        "The clock was not set while the level ran.",
        "The clock was set by {0:.4g} s while the level ran.",
        "Keep time services from stepping the clock during a run, and measure again.",
        "All times are differences of that clock, which the kernel's timestamps use.",
        gxe.ExpectColumnValuesToBeBetween(column="clock_step_s", max_value=0.002),
        "The clock is set by 0.5 s.",
    ),
    Expectation(
        "is_as_precise_as_asked",
        "suspect",
        "The means of TTFT and throughput are as precise as requested.",
        "The means of TTFT and throughput are less precise than requested: {reached_precision}.",
        "Measure for longer (load.duration_s, load.requests).",
        "The level ran out of requests or time before it was precise.",
        gxe.ExpectColumnValuesToBeBetween(column="imprecision", max_value=1.25),
        "A level of 10 requests has a requested precision of 2%.",
        applies=lambda m: m.level.until_precise is not None,
    ),
    Expectation(
        "output_lengths_are_near",
        "suspect",
        "The answers have 90 to 110% of the requested length.",
        "The answers have {0:.0%} of the requested length, where 90 to 110% are allowed.",
        "Set workload.enforce_output_tokens to true, if the server supports min_tokens and ignore_eos.",
        "MLPerf's rule: shorter answers are an easier workload.",
        gxe.ExpectColumnValuesToBeBetween(column="output_length_ratio", min_value=0.9, max_value=1.1),
        "The server ends answers early, and their length is not enforced.",
    ),
    Expectation(
        "one_stream_agrees_with_itself",
        "invalid",
        "With one stream, system throughput and the throughput of the queries agree within 5%.",
        "With one stream, system throughput is {0:.1%} of the throughput of the queries, where 95 to 105% are allowed.",
        "Run the client on an idle machine, and measure again.",
        "They are the same by definition: a difference is time that the client lost between requests.",
        gxe.ExpectColumnValuesToBeBetween(column="system_to_query_ratio", min_value=0.95, max_value=1.05),
        "The client pauses for 0.1 s before each request of 1 s.",
        applies=lambda m: m.level.concurrency == 1 and m.failed == 0,  # a failed request takes time, too
    ),
    Expectation(
        "enough_requests_for_the_percentiles",
        "suspect",
        "Enough requests completed for every percentile that was planned.",
        "Only {completed:.0f} of {planned_requests:.0f} planned requests completed, too few for {lost}.",
        "Remove the cause of the failures, or plan more requests (load.requests).",
        "A percentile p needs 5/(1-p) requests, so that five lie beyond it; with fewer it is withheld.",
        gxe.ExpectColumnValuesToBeBetween(column="lost_percentiles", max_value=0),
        "The server rejects one of 100 requests; a 95th percentile needs 100.",
    ),
    Expectation(
        "every_stream_was_alive_to_the_end",
        "invalid",
        "Every stream sent requests until there were none left.",
        "Of {streams:.0f} streams, {0:.0f} ended before there were no requests left.",
        "See the errors of their last requests in the view requests, and measure again.",
        "When a stream dies, the level continues at a lower concurrency than stated.",
        gxe.ExpectColumnValuesToBeBetween(column="streams_that_ended_early", max_value=0),
        "One of 10 streams dies after 6 of 10 requests.",
    ),
    *_lengths(
        "input",
        "Prompts",
        "Check that the server's /tokenize uses the tokenizer and chat template of the served model.",
        lambda m: m.level.exact_prompts,
    ),
    *_lengths(
        "output",
        "Answers",
        "Check that the server honours min_tokens and ignore_eos.",
        lambda m: m.level.enforced_output_tokens,
    ),
    Expectation(
        "ttft_did_not_drift",
        "suspect",
        "From the first request to the last, the time to first token changed by no more than 10%.",
        "From the first request to the last, the time to first token changed by {ttft_drift:+.0%}, at least {0:+.0%} "
        "beyond chance.",
        "Raise load.warmup_requests_per_stream, or find what changed on the server meanwhile.",
        "The warm-up was too short, or the server changed; the mean describes neither state.",
        gxe.ExpectColumnValuesToBeBetween(column="min_ttft_drift", min_value=-0.1, max_value=0.1),
        "Each first token comes later than the one before, until they take twice as long.",
    ),
    Expectation(
        "no_faster_than_the_memory",
        "invalid",
        "Tokens followed each other no faster than the shape's memory can be read.",
        "Tokens followed each other {0:.1f} times as fast as the shape's memory can be read.",
        "Correct endpoint.shape or endpoint.weights_bytes.",
        "A step of decoding reads all weights once: the shape, the weights' size or the times are wrong.",
        gxe.ExpectColumnValuesToBeBetween(column="roofline_share", max_value=1),
        "The spec of a fast server has the shape of one A10 and weights of 20 GB.",
    ),
    Expectation(
        "the_server_gave_its_account",
        "suspect",
        "The server's own metrics were read before and after the level.",
        "The server's own metrics cannot be used: {server_error}.",
        "Make the server's /metrics reachable at the URL of the endpoint, with no load balancer in between.",
        "Without them, foreign traffic and cached answers cannot be detected.",
        gxe.ExpectColumnValuesToBeBetween(column="server_metrics_missing", max_value=0),
        "The server has no /metrics.",
        applies=has_metrics,
    ),
    Expectation(
        "the_server_stayed_the_same",
        "invalid",
        "The server's version and configuration did not change during the run.",
        "The server changed during the run: {what_changed}.",
        "Measure again, without replacing or reconfiguring the server.",
        "A run against two different servers describes neither.",
        gxe.ExpectColumnValuesToBeBetween(column="server_changes", max_value=0),
        "The server reports another version after the first requests.",
        applies=lambda m: m.level.error is None,
    ),
    Expectation(
        "no_foreign_traffic",
        "suspect",
        "The server counted no tokens but those of the run's own requests.",
        "The server counted {0:,.0f} tokens and {foreign_requests:.0f} requests that this run did not send.",
        "Keep other users off the endpoint during a run.",
        "The load was higher than the level's concurrency.",
        gxe.ExpectColumnValuesToBeBetween(column="foreign_tokens", max_value=0),
        "Another client sends one short request.",
    ),
    Expectation(
        "foreign_traffic_is_little",
        "invalid",
        "Others sent no more than 1% as many tokens as this run.",
        "Others sent {0:.1%} as many tokens as this run, where 1% is allowed.",
        "Keep other users off the endpoint during a run, and measure again.",
        "So much foreign traffic changes every metric.",
        gxe.ExpectColumnValuesToBeBetween(column="foreign_share", max_value=0.01),
        "Another client sends as many requests as the run.",
    ),
    Expectation(
        "the_server_counted_our_load",
        "suspect",
        "The server counted at least 99% of the requests and tokens that were answered.",
        "The server counted only {0:.1%} of the requests and tokens that were answered.",
        "Use the URL of a single server instead of a load balancer's.",
        "Its metrics are those of another server, or of one of several behind this address.",
        gxe.ExpectColumnValuesToBeBetween(column="counted_share", min_value=0.99),
        "The server leaves every second request out of its metrics.",
    ),
    Expectation(
        "ttft_is_not_below_the_servers",
        "invalid",
        "The mean time to first token at the client is no shorter than the one in the server's metrics, within 1%.",
        "The mean time to first token is {our_ttft_s:.4g} s at the client, but {their_ttft_s:.4g} s in the server's "
        "metrics.",
        "Check that the /metrics read are those of the server measured.",
        "The client's time includes the server's and the network's, so it cannot be shorter.",
        gxe.ExpectColumnValuesToBeBetween(column="ttft_under_theirs", max_value=0.01),
        "The times in the server's histogram are doubled.",
    ),
    Expectation(
        "prompts_were_not_cached",
        "invalid",
        "The prefix cache supplied no more than 1% of the prompts' tokens, not counting those that all prompts share.",
        "The prefix cache supplied {0:.1%} of the prompts' tokens, where 1% is allowed.",
        "Leave out workload.seed, or restart the server, so that it has cached no prompts.",
        "Prompts never repeat, so that prefill is measured; a prompt that was sent before measures the cache.",
        gxe.ExpectColumnValuesToBeBetween(column="uncached_hit_share", max_value=0.01),
        "The same prompts are sent a second time, by the seed.",
    ),
    Expectation(
        "no_preemptions",
        "suspect",
        "The server preempted no request.",
        "The server preempted requests {0:.0f} times.",
        "Measure fewer users, or give the KV cache more memory (--gpu-memory-utilization, --max-model-len).",
        "The KV cache was full: the server discarded work and repeated it, which is slower than a queue.",
        gxe.ExpectColumnValuesToBeBetween(column="preemptions", max_value=0),
        "The server's KV cache is too small for all streams.",
    ),
)

ALL = (*LEVEL, *ANSWERS)
