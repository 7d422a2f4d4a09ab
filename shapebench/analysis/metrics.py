"""The metrics of a level: for each of `spec/metric_definitions.METRICS` a function of the same name.

A distribution's function returns the values of completed, measured requests (or of their gaps), a total's one number;
NaN where the samples do not tell. `analysis/summary.py` makes rows of them.
"""

import operator
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from shapebench.analysis.level_precision import estimate_precision
from shapebench.analysis.level_samples import completed, ended_ns, is_completed, is_measured, measured, steady_window_ns
from shapebench.analysis.sample_reader import Samples
from shapebench.server_metrics.reconcile import ServerMetrics, mean_ttft_s, same_ttfts
from shapebench.spec.metric_definitions import LOWER, OF_EACH_REQUEST

Values = npt.NDArray[np.floating]
Total = Callable[[Samples], float]

# Distributions


def ttft_s(samples: Samples) -> Values:
    return _column(samples, "ttft_s")


def time_to_first_answer_s(samples: Samples) -> Values:
    return _column(samples, "time_to_first_answer_s")


def e2e_s(samples: Samples) -> Values:
    return _column(samples, "e2e_s")


def inter_token_s(samples: Samples) -> Values:
    """Return the gaps between token-bearing chunks; a chunk of k tokens counts k times a k-th of its gap."""
    return samples.gaps_s(is_completed(samples).to_numpy())


def tpot_s(samples: Samples) -> Values:
    return _column(samples, "tpot_s")


def query_tokens_per_s(samples: Samples) -> Values:
    return _column(samples, "query_tokens_per_s")


def input_tokens(samples: Samples) -> Values:
    return _column(samples, "input_tokens")


def output_tokens(samples: Samples) -> Values:
    return _column(samples, "output_tokens")


def reasoning_tokens(samples: Samples) -> Values:
    """Return the tokens that each request thought; none where nothing is known of reasoning."""
    return _column(samples, "reasoning_tokens") if "reasoning_tokens" in samples.requests else np.empty(0)


def _column(samples: Samples, name: str) -> Values:
    return completed(samples, name)[name].dropna().to_numpy(dtype=float, copy=True)


# Throughput and errors


def system_tokens_per_s(samples: Samples) -> float:
    return float(output_tokens(samples).sum() / wall_s(samples))


def requests_per_min(samples: Samples) -> float:
    return 60 * int(is_completed(samples).sum()) / wall_s(samples)


def error_rate(samples: Samples) -> float:
    requests = int(is_measured(samples).sum())
    return 1 - int(is_completed(samples).sum()) / requests if requests else np.nan


def servers_answered(samples: Samples) -> float:
    """Count the addresses that answered; a balancer behind one address is not seen."""
    if "server_address" not in samples.requests:
        return np.nan
    return float(completed(samples, "server_address")["server_address"].nunique()) or np.nan


def wall_s(samples: Samples) -> float:
    """Return the time from the first send of a measured request to the last arrival of a completed one."""
    done, begun_ns = completed(samples, "sent_at_ns", "e2e_s"), measured(samples, "sent_at_ns")["sent_at_ns"].min()
    sent_s = (done["sent_at_ns"] - begun_ns) / 1e9  # since 1970 a float is 256 ns coarse
    return float((sent_s + done["e2e_s"]).max())


# The steady window, in which all streams are busy


def steady_tokens_per_s(samples: Samples) -> float:
    """Divide the tokens that arrived inside the steady window, whichever request they belong to, by its length."""
    start_ns, end_ns = steady_window_ns(samples)
    if end_ns <= start_ns:
        return np.nan
    length_s = (end_ns - start_ns) / 1e9
    inside = (tokens[(at_s >= 0) & (at_s < length_s)].sum() for at_s, tokens in samples.arrivals(start_ns))
    return float(sum(inside) / length_s)


def steady_s(samples: Samples) -> float:
    start_ns, end_ns = steady_window_ns(samples)
    return (end_ns - start_ns) / 1e9 if end_ns > start_ns else np.nan


def steady_concurrency(samples: Samples) -> float:
    """Average the requests in flight over the steady window."""
    start_ns, end_ns = steady_window_ns(samples)
    if end_ns <= start_ns:
        return np.nan
    return _in_flight_s(samples, start_ns, end_ns) * 1e9 / (end_ns - start_ns)


def mean_concurrency(samples: Samples) -> float:
    """Average the requests in flight while requests were measured, by Little's law: the sum of their times over it."""
    requests = measured(samples, "sent_at_ns", "ended_s")
    begun_ns = requests["sent_at_ns"]
    length_s = ((begun_ns - begun_ns.min()) / 1e9 + requests["ended_s"]).max()
    return float(_in_flight_s(samples, begun_ns.min(), begun_ns.min() + round(length_s * 1e9)) / length_s)


def _in_flight_s(samples: Samples, start_ns: int, end_ns: int) -> float:
    """Sum the time that all requests spent in flight between two moments."""
    begun_ns = samples.requests["sent_at_ns"].clip(start_ns, end_ns)
    return float((ended_ns(samples).clip(start_ns, end_ns) - begun_ns).sum() / 1e9)


# How precisely the means are known


def ttft_precision(samples: Samples) -> float:
    ttft = estimate_precision(samples).ttft
    return ttft.relative if ttft else np.nan


def throughput_precision(samples: Samples) -> float:
    throughput = estimate_precision(samples).throughput
    return throughput.relative if throughput else np.nan


# Goodput


def with_slo_bounds(metric: Total) -> Total:
    """Make a metric NaN where the SLOs of the run are not known."""
    return lambda samples: np.nan if samples.slo_bounds is None else metric(samples)


@with_slo_bounds
def slo_attainment(samples: Samples) -> float:
    """Return the share of requests that meet all SLOs; a failed request meets none."""
    return len(_good(samples)) / int(is_measured(samples).sum())


@with_slo_bounds
def goodput_requests_per_s(samples: Samples) -> float:
    return len(_good(samples)) / wall_s(samples)


@with_slo_bounds
def goodput_tokens_per_s(samples: Samples) -> float:
    return float(_good(samples)["output_tokens"].sum() / wall_s(samples))


def _good(samples: Samples) -> pd.DataFrame:
    """Select the completed requests that meet all SLOs; an answer of one token has no time per token to miss."""
    done = completed(samples, *OF_EACH_REQUEST, "output_tokens")
    done["tpot_s"] = done["tpot_s"].where(done["output_tokens"] != 1, 0.0)
    for name, bound in (samples.slo_bounds or {}).items():
        meets = operator.le if OF_EACH_REQUEST[name] == LOWER else operator.ge
        done = done[meets(done[name], bound)]
    return done


# By the server's own metrics


def from_server(metric: Callable[[ServerMetrics], float]) -> Total:
    """Make a metric of samples out of one of the server's metrics; NaN where these cannot be used."""

    def value(samples: Samples) -> float:
        server = samples.server_metrics
        return metric(server) if server and server.is_usable else np.nan

    return value


@from_server
def server_ttft_s(server: ServerMetrics) -> float:
    return server.mean("ttft_s")


@from_server
def server_inter_token_s(server: ServerMetrics) -> float:
    return server.mean("inter_token_s")


@from_server
def server_e2e_s(server: ServerMetrics) -> float:
    return server.mean("e2e_s")


@from_server
def running_requests_max(server: ServerMetrics) -> float:
    return server.max("running_requests")


@from_server
def waiting_requests_max(server: ServerMetrics) -> float:
    return server.max("waiting_requests")


@from_server
def kv_cache_usage_max(server: ServerMetrics) -> float:
    return server.max("kv_cache_usage")


@from_server
def preemptions(server: ServerMetrics) -> float:
    return server.growth("preemptions")


@from_server
def prefix_cache_hit_rate(server: ServerMetrics) -> float:
    queried = server.growth("prefix_cache_queried_tokens")
    return server.growth("prefix_cache_hit_tokens") / queried if queried > 0 else np.nan


@from_server
def draft_acceptance_rate(server: ServerMetrics) -> float:
    """Return the share of drafted tokens that speculative decoding accepted."""
    drafted = server.growth("draft_tokens")
    return server.growth("accepted_draft_tokens") / drafted if drafted > 0 else np.nan


@from_server
def acceptance_length_tokens(server: ServerMetrics) -> float:
    """Return the mean tokens of a verification: what it accepts, and the one that it adds."""
    drafts = server.growth("drafts")
    return 1 + server.growth("accepted_draft_tokens") / drafts if drafts > 0 else np.nan


def ttft_outside_server_s(samples: Samples) -> float:
    """Subtract the server's mean TTFT from that of all our requests, warm-up included: network and client.

    NaN where the server's mean includes other requests.
    """
    if samples.server_metrics is None or not same_ttfts(samples.requests, samples.server_metrics):
        return np.nan
    return mean_ttft_s(samples.requests) - samples.server_metrics.mean("ttft_s")
