"""A run as the results file would give it: the article's machine, six levels, one of them suspect."""

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from shapebench.pages.run import Report
from shapebench.spec import Spec

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
        "expectation": "client_keeps_up",
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
