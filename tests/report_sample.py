"""A run as the results file would give it: the article's machine, six levels, one of them suspect."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from shapebench.analysis import percentile_intervals as intervals
from shapebench.analysis.scaling.run_curve import run_growth
from shapebench.report.pages.run_content import Detail, Report
from shapebench.spec.model import Spec

LEVELS = (1, 2, 4, 8, 16, 32)
SYSTEM = (73.0, 140.0, 268.0, 500.0, 870.0, 1400.0)
QUERY = (73.0, 71.0, 68.0, 64.0, 55.0, 44.0)
TTFT = (0.040, 0.044, 0.050, 0.058, 0.070, 0.090)
STATS = {"mean": 1.0, "stddev": 0.1, "min": 0.8, "p25": 0.9, "p50": 0.98, "p75": 1.1}
STATS |= {"p90": 1.25, "p95": 1.4, "p99": 1.6, "max": 1.7}
METRICS = ("ttft_s", "e2e_s", "inter_token_s", "tpot_s", "query_tokens_per_s", "input_tokens", "output_tokens")


def level(at: int) -> dict[str, Any]:
    means = (TTFT[at], 100 / QUERY[at], 1 / QUERY[at], 1 / QUERY[at], QUERY[at], 200.0, 100.0)
    spread = {
        f"{metric}_{stat}": mean * factor
        for metric, mean in zip(METRICS, means, strict=True)
        for stat, factor in STATS.items()
    }
    return {
        "run_id": "20260714-093000-a1b2",
        "concurrency": LEVELS[at],
        "verdict": "valid",
        "planned_requests": 30 * LEVELS[at],
        "completed": 30 * LEVELS[at],
        "failed": 0,
        "system_tokens_per_s": SYSTEM[at],
        "steady_tokens_per_s": SYSTEM[at] * 1.03,
        "requests_per_min": SYSTEM[at] * 0.6,
        "error_rate": 0.0,
        "timestamps": "kernel",
        "error": None,
        **spread,
    }


def unmeasured(at: int) -> dict[str, Any]:
    """A level that ended before its first sample."""
    kept = {key: value for key, value in level(at).items() if key in ("run_id", "concurrency", "planned_requests")}
    nothing = dict.fromkeys(level(at))
    return {
        **nothing,
        **kept,
        "verdict": "invalid",
        "timestamps": "kernel",
        "error": "the server closed every connection",
    }


def finding(concurrency: int, *, passed: bool = True, severity: str = "suspect") -> dict[str, Any]:
    return {
        "run_id": "20260714-093000-a1b2",
        "concurrency": concurrency,
        "expectation": "client_kept_up",
        "severity": severity,
        "passed": passed,
        "sentence": f"The client's event loop lags by at most 5 ms; it lagged by {2 if passed else 31} ms.",
        "reason": "A client that lags reads its clock late.",
    }


def run(**changes: Any) -> dict[str, Any]:
    model, shape = "meta-llama/Llama-3.2-3B-Instruct", "VM.GPU.A10.1"
    spec = Spec.model_validate({"endpoint": {"url": "http://127.0.0.1:8000", "model": model, "shape": shape}})
    return {
        "run_id": "20260714-093000-a1b2",
        "started_at": datetime(2026, 7, 14, 9, 30, tzinfo=UTC),
        "finished_at": datetime(2026, 7, 14, 9, 32, 31, tzinfo=UTC),
        "model": model,
        "shape": shape,
        "url": "http://127.0.0.1:8000",
        "verdict": "valid",
        "workload": "chat",
        "spec": spec.model_dump(mode="json"),
        "facts": {"server": "vllm", "version": "0.11.0", "models": [model], "max_model_len": 8192, "fingerprint": None},
        "versions": {"python": "3.11.9", "shapebench": "0.1.0"},
        "machine": {"cpus": 15, "memory_bytes": 240_000_000_000, "system": "Linux", "turbo": True, "governors": []},
        "git_revision": "0123abc",
        "seed": 4711,
        **changes,
    }


def sample(
    levels: list[dict[str, Any]] | None = None, findings: list[dict[str, Any]] | None = None, **changes: Any
) -> Report:
    rows = [level(at) for at in range(len(LEVELS))] if levels is None else levels
    checked = [finding(concurrency) for concurrency in LEVELS] if findings is None else findings
    return Report(
        run(**changes),
        pd.DataFrame(rows, columns=[*level(0)]),
        pd.DataFrame(checked, columns=[*finding(1)]),
    )


def whole(report: Report) -> Report:
    """With all that is kept of a run beyond its levels' summaries; no request failed."""
    levels = report.levels.dropna(subset=["completed"])
    parts = [_of_level(int(row["concurrency"]), row) for row in levels.to_dict("records")]
    names = ("requests", "intervals", "timeline", "server_timeline")
    frames = {name: pd.concat([part[name] for part in parts], ignore_index=True) for name in names}
    return replace(report, detail=Detail(scaling=scaling(levels), client=client(levels), **frames))


def _of_level(concurrency: int, row: dict[Any, Any]) -> dict[str, pd.DataFrame]:
    requests = _requests(concurrency, row)
    found = intervals.shown_intervals(intervals.slice_requests(requests["ttft_s"], concurrency))
    shares = {metric: row[f"{metric}_mean"] / row["ttft_s_mean"] for metric in ("ttft_s", "inter_token_s")}
    metrics = [
        (metric, stat, low * of, high * of) for metric, of in shares.items() for stat, (low, high) in found.items()
    ]
    at_s = np.arange(0.05, 10, 0.1)
    server_s = np.arange(0.0, 10, 1.0)
    full = row["system_tokens_per_s"] * (1 + 0.1 * np.sin(at_s))
    frames = {
        "intervals": pd.DataFrame(metrics, columns=["metric", "stat", "low_s", "high_s"]),
        "timeline": pd.DataFrame({"at_s": at_s, "busy_streams": float(concurrency), "tokens_per_s": full}),
        "server_timeline": pd.DataFrame(
            {"at_s": server_s, "running_requests": float(concurrency), "waiting_requests": 0.0, "kv_cache_usage": 0.07}
        ),
    }
    return {"requests": requests, **{name: frame.assign(concurrency=concurrency) for name, frame in frames.items()}}


def _requests(concurrency: int, row: dict[Any, Any]) -> pd.DataFrame:
    chance = np.random.default_rng(concurrency).lognormal(0, 0.2, (int(row["completed"]), 3))
    latencies = chance * [row[f"{metric}_mean"] for metric in ("ttft_s", "e2e_s", "tpot_s")]
    return pd.DataFrame(latencies, columns=["ttft_s", "e2e_s", "tpot_s"]).assign(concurrency=concurrency)


def scaling(levels: pd.DataFrame) -> pd.DataFrame:
    """As the view of that name has it."""
    tokens, users = levels["steady_tokens_per_s"].astype(float), levels["concurrency"].astype(float)
    ideal = tokens.iloc[0] * users / users.iloc[0]
    gains = tokens.pct_change() / users.pct_change()
    rows = levels[["concurrency", "verdict"]].assign(throughput="steady_tokens_per_s", tokens_per_s=tokens)
    growth = run_growth(rows, levels)
    return rows.assign(
        ideal_tokens_per_s=ideal,
        efficiency=tokens / ideal,
        gain_share=gains,
        is_knee=rows["concurrency"].eq(growth.knee or 0) if growth else None,
    )


def client(levels: pd.DataFrame) -> pd.DataFrame:
    noticed = {"timestamps": "kernel", "processes": 1, "cpu_share": 0.03, "loop_lag_p99_s": 0.0004, "late_sends": 0}
    return levels[["concurrency"]].assign(**noticed, added_ttft_p99_s=0.00002, capacity_tokens_per_s=45_000.0)


def failures(*rows: tuple[int, str, int]) -> pd.DataFrame:
    """Requests that failed, as `(concurrency, kind, how many)`."""
    frame = pd.DataFrame(rows, columns=["concurrency", "kind", "requests"])
    return frame.assign(message=[f"the server said: {kind}" for kind in frame["kind"]])
