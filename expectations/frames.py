"""What the expectations look at: a level's answers, and the level as one row."""

from typing import Any

import numpy as np
import pandas as pd

from shapebench.analysis import level_samples, metrics
from shapebench.analysis.drift import ttft_drift
from shapebench.analysis.length_distribution import fit
from shapebench.analysis.measured_level import MeasuredLevel
from shapebench.analysis.sample_reader import Samples
from shapebench.analysis.summary import is_possible, min_samples
from shapebench.load.calibration import processes_that_would_do
from shapebench.runs.prompt_sizing import LEAST_WORDS
from shapebench.runs.records import LevelRun, RequestedLoad
from shapebench.server_metrics.reconcile import Account, mean_ttft_s, reconcile, same_ttfts
from shapebench.spec import metric_definitions

# Answers that came together are read one after the other, and the last request goes to the first of them.
MOMENT_NS = 100_000_000
FALLS = "its counters fell: it was restarted, or several servers take turns at this address"
PROMPT_SLACK_TOKENS = 2  # that a server may count more or fewer than its tokenizer said


def answers(m: MeasuredLevel) -> pd.DataFrame:
    """A row for each completed, measured request."""
    assert m.samples is not None
    planned = "planned_input_tokens", "planned_output_tokens"
    done = level_samples.completed(
        m.samples, "ttft_s", "e2e_s", "input_tokens", "output_tokens", "counted_tokens", *planned
    )
    return pd.DataFrame(
        {
            "ttft_s": done["ttft_s"],
            "e2e_s": done["e2e_s"],
            "output_tokens": done["output_tokens"],
            "counted_tokens": done["counted_tokens"],
            "unasked_output_tokens": done["output_tokens"] - done["planned_output_tokens"],
            "unasked_input_tokens": done["input_tokens"] - done["planned_input_tokens"],
        }
    )


def level(m: MeasuredLevel) -> pd.DataFrame:
    """One row; a figure that cannot be had is left out."""
    asked = m.completed + m.failed
    content: dict[str, Any] = {
        "stopped": float(m.level.error is not None),
        "unaccounted_requests": m.level.planned_requests - asked,
        "completed": m.completed,
        **({"error_rate": m.failed / asked} if asked else {}),
        **({"impossible_metrics": sum(not is_possible(row) for row in m.metrics)} if m.metrics else {}),
        **(_of_answers(m) if m.completed else {}),
        **_calibrated(m.level),
        **_server(m),
    }
    return pd.DataFrame([content]).dropna(axis="columns")


def _of_answers(m: MeasuredLevel) -> dict[str, Any]:
    """What takes at least one answer to say."""
    assert m.samples is not None
    return {
        **_figures(m),
        **_percentiles(m),
        **_streams(m.samples, m.level),
        **_drift(m.samples),
        **(_client(m.level) if m.level.client.get("tokens") else {}),
        **(_workload(m.samples, m.level.requested) if m.level.requested else {}),
        **_account(m),
    }


def _client(level: LevelRun) -> dict[str, float]:
    """How the client fared."""
    client = level.client
    return {
        "client_cpu_share": client["cpu_share"],
        "processes_that_would_do": processes_that_would_do(level),
        "clock_step_s": client["clock_step_s"],
        "late_send_share": client["late_sends"] / level.planned_requests,
        "shared_receive_share": client["shared_receive_tokens"] / client["tokens"],
    }


def _calibrated(level: LevelRun) -> dict[str, float]:
    """What trying the client out found, where that was done."""
    found = level.calibration.added_ttft_p50_s if level.calibration else None
    return {} if found is None else {"added_ttft_p50_s": found}


def _server(m: MeasuredLevel) -> dict[str, Any]:
    """Did it say what it did, and is it still the same?"""
    level, account = m.level, m.samples.account if m.samples else None
    trouble = level.server_error or (FALLS if account and account.falls else None)
    changes = [*level.server_changes, *_fingerprints(m)]
    return {
        "account_missing": float(account is None or trouble is not None),
        "server_error": (trouble or "nothing was asked").rstrip("."),
        "server_changes": len(changes),
        "what_changed": "; ".join(changes),
    }


def _fingerprints(m: MeasuredLevel) -> list[str]:
    """That of vLLM changes with its configuration; each answer has it."""
    if m.samples is None or "fingerprint" not in m.samples.requests or not m.level.fingerprint:
        return []
    others = set(m.samples.requests["fingerprint"].dropna()) - {m.level.fingerprint}
    return [f"its fingerprint was {m.level.fingerprint} and is {other}" for other in sorted(others)]


def _percentiles(m: MeasuredLevel) -> dict[str, Any]:
    """Those that so many requests were planned for, and that too few completed for."""
    needed = {name: min_samples(p) for name, p in metric_definitions.PERCENTILES.items()}
    lost = [name for name, count in needed.items() if m.completed < count <= m.level.planned_requests]
    return {"lost_percentiles": len(lost), "lost": ", ".join(lost), "planned": m.level.planned_requests}


def _streams(samples: Samples, level: LevelRun) -> dict[str, float]:
    """Those that had ended while their process still sent requests, or never sent one."""
    streams, processes = samples.requests["stream"], round(level.client.get("processes", 1))
    ended_ns = level_samples.ended_ns(samples).groupby(streams).max()
    last_sent_ns = samples.requests["sent_at_ns"].groupby(streams % processes).max()
    late_s = max(level.client.get(name, 0.0) for name in ("loop_lag_max_s", "send_lag_max_s"))
    moment_ns = MOMENT_NS + late_s * 1e9
    early = ended_ns.to_numpy() + moment_ns < last_sent_ns.loc[ended_ns.index % processes].to_numpy()
    return {"streams_that_ended_early": int(early.sum()) + level.concurrency - len(early), "streams": level.concurrency}


def _drift(samples: Samples) -> dict[str, float]:
    done = level_samples.completed(samples, "sent_at_ns", "ttft_s")
    found = ttft_drift(done, samples.requests["stream"].nunique())
    return {"ttft_drift": found.share, "sure_ttft_drift": found.sure} if found else {}


def _workload(samples: Samples, asked: RequestedLoad) -> dict[str, float]:
    """How lengths differ from the distributions asked for, and how near the pace of tokens comes to the memory's."""
    done = level_samples.completed(samples, "input_tokens", "output_tokens", "ttft_s", "e2e_s", "chunks")
    inputs = fit(done["input_tokens"], asked.input_tokens, PROMPT_SLACK_TOKENS, asked.shared_tokens + LEAST_WORDS)
    outputs = fit(done["output_tokens"], asked.output_tokens, 0)
    gap_s = float((done["e2e_s"] - done["ttft_s"]).sum() / max(int((done["chunks"] - 1).sum()), 1))
    lengths = {"input": (inputs, asked.input_tokens), "output": (outputs, asked.output_tokens)}
    return {
        **{f"{kind}_{name}": value for kind, (found, _) in lengths.items() for name, value in vars(found).items()},
        **{f"asked_{kind}_mean": wanted.mean for kind, (_, wanted) in lengths.items()},
        **{f"asked_{kind}_spread": wanted.stddev for kind, (_, wanted) in lengths.items()},
        **({"roofline_share": asked.weights_read_s / gap_s} if asked.weights_read_s and gap_s > 0 else {}),
    }


def _account(m: MeasuredLevel) -> dict[str, float]:
    """The server's counters against ours, where it gave an account that can be used."""
    samples, asked = m.samples, m.level.requested
    if samples is None or asked is None or samples.account is None or not samples.account.is_usable:
        return {}
    return {
        **vars(reconcile(samples.requests, samples.account, asked.shared_tokens)),
        "preemptions": samples.account.grown("preemptions"),
        **(_ttft_by_both(samples, samples.account) if same_ttfts(samples.requests, samples.account) else {}),
    }


def _ttft_by_both(samples: Samples, account: Account) -> dict[str, float]:
    ours_s, theirs_s = mean_ttft_s(samples.requests), account.mean("ttft_s")
    return {"our_ttft_s": ours_s, "their_ttft_s": theirs_s, "ttft_under_theirs": 1 - ours_s / theirs_s}


def _figures(m: MeasuredLevel) -> dict[str, float]:
    samples = m.samples
    assert samples is not None
    done = level_samples.completed(samples, "e2e_s", "output_tokens", "planned_output_tokens")
    start_ns, end_ns = level_samples.steady_window_ns(samples)
    return {
        "held_concurrency_ratio": metrics.steady_concurrency(samples) / m.level.concurrency,
        "steady_share": max(0, end_ns - start_ns) / 1e9 / metrics.wall_s(samples),
        **({"imprecision": _imprecision(m) / m.level.until_precise} if m.level.until_precise else {}),
        "output_length_ratio": float(done["output_tokens"].sum() / done["planned_output_tokens"].sum()),
        # Over the time that all queries took, not the mean of their rates, which is more where the rates differ.
        "system_to_query_ratio": metrics.system_tokens_per_s(samples)
        * float(done["e2e_s"].sum() / done["output_tokens"].sum()),
    }


def _imprecision(m: MeasuredLevel) -> float:
    """The wider of the two intervals; without end where the level was too short to tell."""
    found = [row.value for row in m.metrics if row.metric in ("ttft_precision", "throughput_precision")]
    return max(found) if len(found) == 2 else np.inf
