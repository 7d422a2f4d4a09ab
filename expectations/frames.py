"""What the expectations look at: a level's answers, and the level as one row."""

import numpy as np
import pandas as pd

from shapebench import metrics
from shapebench.calibrate import processes_that_would_do
from shapebench.records import LevelRun
from shapebench.rows import Measured


def answers(m: Measured) -> pd.DataFrame:
    """A row for each completed, measured request."""
    assert m.samples is not None
    planned = "planned_input_tokens", "planned_output_tokens"
    done = metrics.completed(m.samples, "ttft_s", "e2e_s", "input_tokens", "output_tokens", "counted_tokens", *planned)
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


def level(m: Measured) -> pd.DataFrame:
    """One row; a figure that cannot be had is left out."""
    asked = m.completed + m.failed
    content: dict[str, float] = {
        "stopped": float(m.level.error is not None),
        "unaccounted_requests": m.level.planned_requests - asked,
        "completed": m.completed,
        **({"error_rate": m.failed / asked} if asked else {}),
        **({"impossible_metrics": sum(not metrics.possible(row) for row in m.metrics)} if m.metrics else {}),
        **(_figures(m) if m.completed else {}),
        **(_client(m.level) if m.completed and m.level.client.get("tokens") else {}),
        **_calibrated(m.level),
    }
    return pd.DataFrame([content]).dropna(axis="columns")


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


def _figures(m: Measured) -> dict[str, float]:
    samples = m.samples
    assert samples is not None
    done = metrics.completed(samples, "e2e_s", "output_tokens", "planned_output_tokens")
    start_ns, end_ns = metrics.steady_window_ns(samples)
    return {
        "held_concurrency_ratio": metrics.held_concurrency(samples) / m.level.concurrency,
        "steady_share": max(0, end_ns - start_ns) / 1e9 / metrics.wall_s(samples),
        **({"imprecision": _imprecision(m) / m.level.until_precise} if m.level.until_precise else {}),
        "output_length_ratio": float(done["output_tokens"].sum() / done["planned_output_tokens"].sum()),
        # Over the time that all queries took, not the mean of their rates, which is more where the rates differ.
        "system_to_query_ratio": metrics.system_tokens_per_s(samples)
        * float(done["e2e_s"].sum() / done["output_tokens"].sum()),
    }


def _imprecision(m: Measured) -> float:
    """The wider of the two intervals; without end where the level was too short to tell."""
    found = [row.value for row in m.metrics if row.metric in ("ttft_precision", "throughput_precision")]
    return max(found) if len(found) == 2 else np.inf
