"""Inputs of the expectations: a level's answers, and the level as one row."""

from typing import TypeAlias

import numpy as np
import pandas as pd

from shapebench.analysis import level_samples, metrics
from shapebench.analysis.drift import ttft_drift
from shapebench.analysis.length_distribution import fit
from shapebench.analysis.measured_level import MeasuredLevel
from shapebench.analysis.sample_reader import Samples
from shapebench.analysis.summary import is_possible, min_samples
from shapebench.load.calibration import sufficient_processes
from shapebench.runs.prompt_sizing import MIN_WORDS
from shapebench.runs.records import LevelRun, RequestedLoad
from shapebench.server_metrics.reconcile import ServerMetrics, mean_ttft_s, reconcile, same_ttfts
from shapebench.spec import metric_definitions

Figures: TypeAlias = dict[str, float | str]

# Answers that came together are read one after the other, and the last request goes to the first of them.
MOMENT_NS = 100_000_000
MIN_LONG_TOKENS, HELD_BACK_GAP_S = 10, 20e-6  # an answer so long; between its tokens, of which no server is capable
FALLS = "its counters fell: it was restarted, or several servers take turns at this address"
PROMPT_SLACK_TOKENS = 2  # that a server may count more or fewer than its tokenizer said


def answers(m: MeasuredLevel) -> pd.DataFrame:
    """Put the figures of each completed, measured request into a row."""
    assert m.samples is not None
    done = level_samples.completed(m.samples)
    return pd.DataFrame(
        {
            "ttft_s": done["ttft_s"],
            "e2e_s": done["e2e_s"],
            "output_tokens": done["output_tokens"],
            "carried_tokens": _carried_tokens(done),
            "output_length_error": done["output_tokens"] - done["planned_output_tokens"],
            "input_length_error": done["input_tokens"] - done["planned_input_tokens"],
        }
    )


def _carried_tokens(done: pd.DataFrame) -> "pd.Series[float]":
    """Count the tokens that the chunks of each answer carried, before any were apportioned."""
    if "unaccounted_tokens" not in done:  # samples of an earlier version
        return done["counted_tokens"].astype(float)
    return (done["output_tokens"] - done["unaccounted_tokens"]).astype(float).fillna(done["counted_tokens"])


def level(m: MeasuredLevel) -> pd.DataFrame:
    """Put a level's figures into one row; a figure that is unknown is left out."""
    requests = m.completed + m.failed
    content: Figures = {
        "stopped": float(m.level.error is not None),
        "error": (m.level.error or "").rstrip("."),
        "planned_requests": m.level.planned_requests,
        "unaccounted_requests": m.level.planned_requests - requests,
        "completed": m.completed,
        **({"error_rate": m.failed / requests} if requests else {}),
        **({"impossible_metrics": sum(not is_possible(row) for row in m.metrics)} if m.metrics else {}),
        **(_figures_of_answers(m) if m.completed else {}),
        **_calibration(m.level),
        **_server(m),
    }
    return pd.DataFrame([content]).dropna(axis="columns")


def _figures_of_answers(m: MeasuredLevel) -> Figures:
    """Collect the figures that need at least one answer."""
    assert m.samples is not None
    return {
        **_figures(m),
        **_percentiles(m),
        **_streams(m.samples, m.level),
        **_drift(m.samples),
        **(_client(m.level) if m.level.client.get("tokens") else {}),
        **(_workload(m.samples, m.level.requested) if m.level.requested else {}),
        **_server_metrics(m),
    }


def _client(level: LevelRun) -> dict[str, float]:
    """Collect the figures of the client's health."""
    client, processes = level.client, round(level.client.get("processes", 1))
    return {
        "client_cpu_share": client["cpu_share"],
        # More than there were, though fewer could share the load evenly: the busiest has too many streams.
        "processes_that_would_do": max(sufficient_processes(level), processes + 1),
        "clock_step_s": client["clock_step_s"],
        "late_send_share": client["late_sends"] / level.planned_requests,
        "shared_receive_share": client["shared_receive_tokens"] / client["tokens"],
    }


def _calibration(level: LevelRun) -> dict[str, float]:
    """Collect what the client's calibration found, if there was one."""
    added_s = level.calibration.added_ttft_p50_s if level.calibration else None
    return {} if added_s is None else {"added_ttft_p50_s": added_s}


def _server(m: MeasuredLevel) -> Figures:
    """Find what is wrong with the server's metrics, and what changed on the server."""
    level, server = m.level, m.samples.server_metrics if m.samples else None
    error = level.server_error or (FALLS if server and server.counters_fell else None)
    changes = [*level.server_changes, *_fingerprints(m)]
    return {
        "server_metrics_missing": float(server is None or error is not None),
        "server_error": (error or "they were not read").rstrip("."),
        "server_changes": len(changes),
        "what_changed": "; ".join(changes),
    }


def _fingerprints(m: MeasuredLevel) -> list[str]:
    """Describe changes of vLLM's fingerprint, which changes with its configuration and is in each answer."""
    if m.samples is None or "fingerprint" not in m.samples.requests or not m.level.fingerprint:
        return []
    others = set(m.samples.requests["fingerprint"].dropna()) - {m.level.fingerprint}
    if _servers_keep_theirs(m.samples.requests):
        return []
    return [f"its fingerprint was {m.level.fingerprint} and is {other}" for other in sorted(others)]


def _servers_keep_theirs(requests: pd.DataFrame) -> bool:
    """Tell whether several servers answered, each with one fingerprint: then they differ, and none has changed."""
    if "server_address" not in requests:
        return False
    of_each = requests.groupby("server_address")["fingerprint"].nunique()
    return len(of_each) > 1 and bool((of_each <= 1).all())


def _percentiles(m: MeasuredLevel) -> Figures:
    """Find the percentiles that enough requests were planned for, and too few completed."""
    needed = {name: min_samples(p) for name, p in metric_definitions.PERCENTILES.items()}
    lost = [name for name, count in needed.items() if m.completed < count <= m.level.planned_requests]
    return {"lost_percentiles": len(lost), "lost": ", ".join(lost)}


def _streams(samples: Samples, level: LevelRun) -> dict[str, float]:
    """Count the streams that ended while their process still sent requests, or never sent one."""
    streams, processes = samples.requests["stream"], round(level.client.get("processes", 1))
    ended_ns = level_samples.ended_ns(samples).groupby(streams).max()
    last_sent_ns = samples.requests["sent_at_ns"].groupby(streams % processes).max()
    late_s = max(level.client.get(name, 0.0) for name in ("loop_lag_max_s", "send_lag_max_s"))
    moment_ns = MOMENT_NS + late_s * 1e9
    early = ended_ns.to_numpy() + moment_ns < last_sent_ns.loc[ended_ns.index % processes].to_numpy()
    return {"streams_that_ended_early": int(early.sum()) + level.concurrency - len(early), "streams": level.concurrency}


def _drift(samples: Samples) -> dict[str, float]:
    done = level_samples.completed(samples, "sent_at_ns", "ttft_s")
    drift = ttft_drift(done, samples.requests["stream"].nunique())
    return {"ttft_drift": drift.share, "min_ttft_drift": drift.sure} if drift else {}


def _workload(samples: Samples, requested: RequestedLoad) -> dict[str, float]:
    """Compare lengths with the requested distributions, and the pace of tokens with the memory's."""
    done = level_samples.completed(samples, "input_tokens", "output_tokens", "ttft_s", "e2e_s", "chunks")
    min_tokens = requested.shared_tokens + MIN_WORDS
    inputs = fit(done["input_tokens"], requested.input_tokens, PROMPT_SLACK_TOKENS, min_tokens)
    outputs = fit(done["output_tokens"], requested.output_tokens, 0)
    gap_s = float((done["e2e_s"] - done["ttft_s"]).sum() / max(int((done["chunks"] - 1).sum()), 1))
    lengths = {"input": (inputs, requested.input_tokens), "output": (outputs, requested.output_tokens)}
    return {
        **{f"{kind}_{name}": value for kind, (seen, _) in lengths.items() for name, value in vars(seen).items()},
        **{f"requested_{kind}_mean": wanted.mean for kind, (_, wanted) in lengths.items()},
        **{f"requested_{kind}_stddev": wanted.stddev for kind, (_, wanted) in lengths.items()},
        **({"roofline_share": requested.weights_read_s / gap_s} if requested.weights_read_s and gap_s > 0 else {}),
    }


def _server_metrics(m: MeasuredLevel) -> dict[str, float]:
    """Compare the server's counters with ours, if they can be used."""
    samples, requested = m.samples, m.level.requested
    server = samples.server_metrics if samples else None
    if samples is None or requested is None or server is None or not server.is_usable:
        return {}
    return {
        **vars(reconcile(samples.requests, server, requested.shared_tokens)),
        "preemptions": server.growth("preemptions"),
        **(_ttft_by_both(samples, server) if same_ttfts(samples.requests, server) else {}),
    }


def _ttft_by_both(samples: Samples, server: ServerMetrics) -> dict[str, float]:
    ours_s, theirs_s = mean_ttft_s(samples.requests), server.mean("ttft_s")
    return {"our_ttft_s": ours_s, "their_ttft_s": theirs_s, "ttft_under_theirs": 1 - ours_s / theirs_s}


def _figures(m: MeasuredLevel) -> Figures:
    samples = m.samples
    assert samples is not None
    done = level_samples.completed(samples, "e2e_s", "output_tokens", "planned_output_tokens")
    start_ns, end_ns = level_samples.steady_window_ns(samples)
    return {
        **_at_once(samples),
        "concurrency_ratio": metrics.steady_concurrency(samples) / m.level.concurrency,
        "steady_share": max(0, end_ns - start_ns) / 1e9 / metrics.wall_s(samples),
        **(_precision(m, m.level.until_precise) if m.level.until_precise else {}),
        "output_length_ratio": float(done["output_tokens"].sum() / done["planned_output_tokens"].sum()),
        # Over the time that all queries took, not the mean of their rates, which is more where the rates differ.
        "system_to_query_ratio": metrics.system_tokens_per_s(samples)
        * float(done["e2e_s"].sum() / done["output_tokens"].sum()),
    }


def _at_once(samples: Samples) -> Figures:
    """Find the share of longer answers that came faster than any server generates them: they were held back."""
    done = level_samples.completed(samples)
    tokens = done["output_tokens"].astype(float)
    if "reasoning_tokens" in done:  # which may be hidden
        tokens -= done["reasoning_tokens"].astype(float).fillna(0)
    is_long = tokens >= MIN_LONG_TOKENS
    gap_s = ((done["e2e_s"] - done["ttft_s"]) / (tokens - 1))[is_long]
    return {"at_once_share": float((gap_s.abs() < HELD_BACK_GAP_S).mean())} if len(gap_s) else {}


def _precision(m: MeasuredLevel, requested: float) -> Figures:
    """Compare the wider of the two intervals with the requested precision; infinite if the level was too short."""
    widths = [row.value for row in m.metrics if row.metric in ("ttft_precision", "throughput_precision")]
    if len(widths) < 2:
        return {"imprecision": np.inf, "reached_precision": "the level was too short to estimate any interval"}
    ratio = max(widths) / requested
    return {"imprecision": ratio, "reached_precision": f"the wider interval is {ratio:.1f} times as wide"}
