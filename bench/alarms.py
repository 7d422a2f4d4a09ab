"""How often does `watch` call a run worse in which nothing has changed, and how often does it see a change?

Runs are made up: 6 levels of 5 numbers, which differ between runs as normal numbers do, partly together (a night on
which all is slow), partly each level by itself. "each by itself" is how often any of the 30 is outside its own range.
"""

import argparse
import math
from itertools import product
from typing import Any

import numpy as np
from scipy.stats import t

from shapebench.analysis.regression import Rule, judge
from shapebench.spec.metric_definitions import BETTER, HIGHER

LEVELS = (1, 2, 4, 8, 16, 32)
NUMBERS = (
    ("ttft_s", "mean"),
    ("ttft_s", "p50"),
    ("ttft_s", "p95"),
    ("query_tokens_per_s", "mean"),
    ("system_tokens_per_s", "total"),
)
ANY = Rule(matters=1e-6)  # however small it is


def rows(
    random: np.random.Generator, runs: int, together: float, spread: float, worse_by: float
) -> list[dict[str, Any]]:
    """What the macro `regressions` would give of one more run after so many."""
    night = random.normal(size=runs + 1)
    made = []
    for level in LEVELS:
        of_level = random.normal(size=runs + 1)
        for metric, stat in NUMBERS:
            own = 0.8 * of_level + 0.6 * random.normal(size=runs + 1)
            slow = spread * (together * night + math.sqrt(1 - together**2) * own)
            slow[-1] += worse_by
            made.append(_row(level, metric, stat, 1 - slow if BETTER[metric] == HIGHER else 1 + slow))
    return made


def _row(level: int, metric: str, stat: str, values: "np.ndarray[Any, np.dtype[np.float64]]") -> dict[str, Any]:
    earlier, value = values[:-1], values[-1]
    runs, mean, stddev = len(earlier), earlier.mean(), earlier.std(ddof=1)
    change = value / mean - 1
    outside = abs(value - mean) > t.ppf(0.975, runs - 1) * stddev * math.sqrt(1 + 1 / runs)
    worse = outside and (change < 0) == (BETTER[metric] == HIGHER)
    about = {"concurrency": level, "level_verdict": "valid", "metric": metric, "stat": stat, "candidate": value}
    baseline = {
        "baseline_mean": mean,
        "baseline_runs": runs,
        "change": change,
        "effect_stddevs": (value - mean) / stddev,
    }
    return {**about, **baseline, "verdict": "worse" if worse else "same"}


def false_alarms(random: np.random.Generator, tries: int) -> None:
    print("| earlier runs | that differ together | each by itself | `watch` |\n|---|---|---|---|")
    for runs, together in product((3, 5, 10, 20), (0.0, 0.7, 0.95)):
        made = [rows(random, runs, together, 0.03, 0.0) for _ in range(tries)]
        alone = np.mean([any(row["verdict"] == "worse" for row in run) for run in made])
        alarm = np.mean([judge(run, ANY).known == "regression" for run in made])
        print(f"| {runs} | {together:.0%} | {alone:.1%} | {alarm:.1%} |")


def seen(random: np.random.Generator, tries: int) -> None:
    changes = (0.06, 0.1, 0.2, 0.4)
    print("| earlier runs | spread |", *(f"{change:.0%} worse |" for change in changes))
    print("|---|---|" + "---|" * len(changes))
    for runs, spread in product((3, 5, 10, 20), (0.01, 0.03)):
        found = (
            np.mean([judge(rows(random, runs, 0.5, spread, by), Rule()).known == "regression" for _ in range(tries)])
            for by in changes
        )
        print(f"| {runs} | {spread:.0%} |", *(f"{share:.0%} |" for share in found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=2000)
    asked = parser.parse_args()
    generator = np.random.default_rng(1)
    false_alarms(generator, asked.tries)
    print()
    seen(generator, asked.tries // 4)
