"""What the expectations look at: a level's answers, and the level as one row."""

import numpy as np
import pandas as pd

from shapebench import metrics
from shapebench.rows import Measured


def answers(m: Measured) -> pd.DataFrame:
    """A row for each completed, measured request."""
    assert m.samples is not None
    done = metrics.completed(m.samples)
    return pd.DataFrame(
        {
            "ttft_s": done["ttft_s"],
            "e2e_s": done["e2e_s"],
            "output_tokens": done["output_tokens"],
            "counted_tokens": done["chunk_tokens"].map(np.sum),
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
    }
    return pd.DataFrame([content]).dropna(axis="columns")


def _figures(m: Measured) -> dict[str, float]:
    samples = m.samples
    assert samples is not None
    done = metrics.completed(samples)
    start_ns, end_ns = metrics.steady_window_ns(samples)
    return {
        "held_concurrency_ratio": metrics.held_concurrency(samples) / m.level.concurrency,
        "steady_share": max(0, end_ns - start_ns) / 1e9 / metrics.wall_s(samples),
        "output_length_ratio": float(done["output_tokens"].sum() / done["planned_output_tokens"].sum()),
        # Over the time that all queries took, not the mean of their rates, which is more where the rates differ.
        "system_to_query_ratio": metrics.system_tokens_per_s(samples)
        * float(done["e2e_s"].sum() / done["output_tokens"].sum()),
    }
