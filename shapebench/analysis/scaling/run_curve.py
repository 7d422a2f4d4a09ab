"""A run's throughput curve, from rows of the views `scaling` and `level_summary`."""

import pandas as pd

from shapebench.analysis.scaling.growth import Growth, growth, with_curve_noise
from shapebench.analysis.scaling.levels import read_levels


def run_curve(scaling: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """Return the curve as `saturation` takes it: usable levels only, with the precision of a steady throughput."""
    points = scaling.dropna(subset=["tokens_per_s"])
    curve = points[["concurrency"]].assign(system_tokens_per_s=points["tokens_per_s"])
    if points.empty or points["throughput"].iloc[0] != "steady_tokens_per_s" or "throughput_precision" not in levels:
        return curve
    return curve.merge(levels[["concurrency", "throughput_precision"]], on="concurrency")


def level_curve(levels: pd.DataFrame) -> pd.DataFrame:
    """Return the curve of rows of `level_summary` that are not stored yet, by the rule of the view `scaling`.

    Steady throughput where every usable level has one, else the system's for all of them.
    """
    usable = levels[(levels["verdict"] != "invalid") & (levels["system_tokens_per_s"].astype(float) > 0)]
    if "steady_tokens_per_s" in usable and (usable["steady_tokens_per_s"].astype(float) > 0).all():
        return usable.assign(system_tokens_per_s=usable["steady_tokens_per_s"])
    return usable.drop(columns="throughput_precision", errors="ignore")


def run_growth(scaling: pd.DataFrame, levels: pd.DataFrame) -> Growth | None:
    """Fit where a run's throughput stops growing; None with fewer than two usable levels."""
    points = read_levels(run_curve(scaling, levels))
    return growth(with_curve_noise(points)) if len(points) > 1 else None
