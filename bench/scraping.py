"""Cost of scraping the server's /metrics: TTFT of levels with it and without, alternating, in one run.

    python bench/scraping.py [--streams 32] [--pairs 7] [--duration 8]

The reference server logs when it sent each token; its /metrics are 60 kB recorded from a real vLLM, requested each
second as in the pipeline, by the process that started the measuring one.
"""

import argparse
import statistics
import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from shapebench.analysis import level_samples
from shapebench.apis.target import Credentials, Target
from shapebench.load import workers
from shapebench.load.calibration import true_ttft_s
from shapebench.load.plan import LevelPlan
from shapebench.load.prompts import RequestMix
from shapebench.probe.client import Client
from shapebench.runs.prompt_sizing import PromptSizing, candidate_words
from shapebench.server_metrics.scraper import Scraper
from shapebench.spec.lengths import Lengths
from shapebench.spec.model import parse
from shapebench.test_servers.reference.process import running_reference_server

PAGE = Path(__file__).parent.parent / "tests" / "contract" / "recorded" / "metrics.txt"
TTFT_S, GAP_S, TOKENS = 0.1, 0.01, 50
Row = tuple[float, float, float, float, float]


def main() -> None:
    """Print, for both ways, medians over the levels, and how the ways differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--duration", type=float, default=8)
    arguments = parser.parse_args()
    rows: dict[bool, list[Row]] = {False: [], True: []}
    for pair in range(arguments.pairs):
        for scrapes in (pair % 2 == 0, pair % 2 == 1):  # in turns, so that neither is always first
            rows[scrapes].append(level(arguments.streams, arguments.duration, scrapes=scrapes))
    show({scrapes: [statistics.median(column) for column in zip(*of, strict=True)] for scrapes, of in rows.items()})


def level(streams: int, duration_s: float, *, scrapes: bool) -> Row:
    """Reported and true TTFT, mean and p99 (ms), and CPU for each token (us)."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        log = folder / "truth.jsonl"
        with running_reference_server(TTFT_S, GAP_S, 0.1, log, PAGE) as url, asking(url, scrapes):
            outcome = workers.run_workers(plan(url, streams, duration_s, folder), Credentials(), lambda _: None)
        assert outcome.samples, outcome.error
        done = level_samples.completed(level_samples.read(outcome.samples), "ttft_s", "response_id")
        true_s = true_ttft_s(log).reindex(done["response_id"])
    both = (done["ttft_s"].to_numpy(), true_s.to_numpy())
    mean, true_mean = (1e3 * float(values.mean()) for values in both)
    p99, true_p99 = (1e3 * float(np.percentile(values, 99)) for values in both)
    return mean, true_mean, p99, true_p99, outcome.client["cpu_us_per_token"]


def asking(url: str, scrapes: bool) -> AbstractContextManager[object]:
    client = Client(parse({"endpoint": {"url": url, "model": "metronome"}}).endpoint)
    return Scraper(client.metrics) if scrapes else nullcontext()


def plan(url: str, streams: int, duration_s: float, folder: Path) -> LevelPlan:
    return LevelPlan(
        target=Target(url, "metronome", "chat"),
        mix=RequestMix(PromptSizing(candidate_words()), Lengths(200, 0), Lengths(TOKENS, 0), seed=1),
        concurrency=streams,
        requests=None,
        warmup_requests=2 * streams,
        request_timeout_s=30,
        samples=str(folder / "level.parquet"),
        duration_s=duration_s,
    )


def show(medians: dict[bool, list[float]]) -> None:
    table = Table(
        "scraping", "TTFT mean\nreported / true (ms)", "TTFT p99\nreported / true (ms)", "CPU\nus a token", box=None
    )
    for scrapes, (mean, true_mean, p99, true_p99, cpu_us) in medians.items():
        table.add_row(
            "each second" if scrapes else "none",
            f"{mean:.2f} / {true_mean:.2f}",
            f"{p99:.2f} / {true_p99:.2f}",
            f"{cpu_us:.1f}",
        )
    Console().print(table)
    p99_with, p99_without = medians[True][2], medians[False][2]
    print(f"TTFT p99 with scraping / without: {p99_with / p99_without:.4f}")


if __name__ == "__main__":
    main()
