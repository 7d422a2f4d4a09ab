"""False alarm rate and power of `watch`, in simulated runs.

Runs have 6 levels of 5 numbers, with normally distributed differences between runs, partly common to all numbers (a
slow night), partly of each level. "each by itself" is how often any of the 30 is outside its own range.
"""

import argparse
import math
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.stats import t

from shapebench.analysis.regression import Row, Rule, check_regression
from shapebench.spec.metric_definitions import BETTER, HIGHER

LEVELS = (1, 2, 4, 8, 16, 32)
NUMBERS = (
    ("ttft_s", "mean"),
    ("ttft_s", "p50"),
    ("ttft_s", "p95"),
    ("query_tokens_per_s", "mean"),
    ("system_tokens_per_s", "total"),
)
ANY_CHANGE = Rule(min_effect=1e-6)


def made_up_rows(
    random: np.random.Generator, runs: int, correlation: float, spread: float, worse_by: float
) -> list[Row]:
    """Make rows of the macro `regressions` for one more run after so many."""
    night = random.normal(size=runs + 1)
    rows = []
    for level in LEVELS:
        of_level = random.normal(size=runs + 1)
        for metric, stat in NUMBERS:
            of_number = 0.8 * of_level + 0.6 * random.normal(size=runs + 1)
            slow = spread * (correlation * night + math.sqrt(1 - correlation**2) * of_number)
            slow[-1] += worse_by
            rows.append(_row(level, metric, stat, 1 - slow if BETTER[metric] == HIGHER else 1 + slow))
    return rows


def _row(level: int, metric: str, stat: str, values: npt.NDArray[np.float64]) -> Row:
    earlier, value = values[:-1], float(values[-1])
    runs, mean, stddev = len(earlier), float(earlier.mean()), float(earlier.std(ddof=1))
    change = value / mean - 1
    outside = abs(value - mean) > t.ppf(0.975, runs - 1) * stddev * math.sqrt(1 + 1 / runs)
    worse = outside and (change < 0) == (BETTER[metric] == HIGHER)
    return {
        "concurrency": level,
        "level_verdict": "valid",
        "metric": metric,
        "stat": stat,
        "candidate": value,
        "baseline_mean": mean,
        "baseline_runs": runs,
        "change": change,
        "effect_stddevs": (value - mean) / stddev,
        "verdict": "worse" if worse else "same",
    }


def is_worse(rows: list[Row], rule: Rule) -> bool:
    return check_regression(rows, rule).known == "regression"


def print_false_alarms(random: np.random.Generator, tries: int) -> None:
    print("| earlier runs | that differ together | each by itself | `watch` |\n|---|---|---|---|")
    for runs, correlation in product((3, 5, 10, 20), (0.0, 0.7, 0.95)):
        made = [made_up_rows(random, runs, correlation, 0.03, 0.0) for _ in range(tries)]
        each = np.mean([any(row["verdict"] == "worse" for row in run) for run in made])
        watch = np.mean([is_worse(run, ANY_CHANGE) for run in made])
        print(f"| {runs} | {correlation:.0%} | {each:.1%} | {watch:.1%} |")


def print_power(random: np.random.Generator, tries: int) -> None:
    changes = (0.06, 0.1, 0.2, 0.4)
    print("| earlier runs | spread |", *(f"{change:.0%} worse |" for change in changes))
    print("|---|---|" + "---|" * len(changes))
    for runs, spread in product((3, 5, 10, 20), (0.01, 0.03)):
        shares = []
        for change in changes:
            made = (made_up_rows(random, runs, 0.5, spread, change) for _ in range(tries))
            shares.append(np.mean([is_worse(rows, Rule()) for rows in made]))
        print(f"| {runs} | {spread:.0%} |", *(f"{share:.0%} |" for share in shares))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=2000)
    options = parser.parse_args()
    generator = np.random.default_rng(1)
    print_false_alarms(generator, options.tries)
    print()
    print_power(generator, options.tries // 4)
