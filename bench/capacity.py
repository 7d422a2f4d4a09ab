"""Capacity search on simulated servers whose limit is known: `python bench/capacity.py`.

The limit is computed with the simulator's own engine in a closed loop in simulated time, with 1 ms from an answer's
last token to the next request. The search uses the same engine in real time. It is right if it finds the limit within
one stream or 3 %, in at most ten levels.

On a busy machine the simulator's steps are late, which changes the limit: keep it idle. An SLO on a number that one
more stream changes by less than the simulator's own overhead, a millisecond or two, has no known limit.
"""

import argparse
import heapq
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import TypedDict

import numpy as np

from shapebench.spec.slo import Slo, parse
from shapebench.test_servers.simulator.engine import Engine, Request
from shapebench.test_servers.simulator.presets import PRESETS, Preset, with_settings
from shapebench.test_servers.simulator.process import running_simulator

PRESET = "a10-llama-3.2-3b"
RETURN_S = 0.001
REQUESTS = 20_000
RAMP_S = 2.0


@dataclass(frozen=True)
class Case:
    """An SLO to search for, on an A10 with these settings."""

    slo: str
    settings: tuple[str, ...] = ()


CASES = (
    Case("query_tokens_per_s mean >= 66"),
    Case("query_tokens_per_s mean >= 40"),
    Case("ttft_s p95 <= 0.5", ("max_num_seqs=16",)),
    Case("query_tokens_per_s mean >= 15"),
    Case("ttft_s p95 <= 0.5"),
)
NUMBERS: dict[str, Callable[[Request, float], float]] = {
    "ttft_s": lambda request, sent_s: request.first_token_s - sent_s,
    "query_tokens_per_s": lambda request, sent_s: request.output_tokens / (request.last_token_s - sent_s),
}
STATS: dict[str, Callable[[list[float]], float]] = {"mean": np.mean, "p95": lambda values: np.percentile(values, 95)}


def answered(preset: Preset, streams: int) -> Iterator[tuple[Request, float]]:
    """The article's requests in a closed loop, each with the moment of its sending, without an end."""
    chance, engine, now_s = random.Random(1), Engine(preset), 0.0
    arriving = sorted((chance.uniform(0, RAMP_S), number) for number in range(streams))
    numbers, sent_s = count(streams), dict[Request, float]()
    while True:
        while arriving and arriving[0][0] <= now_s:
            at_s, _ = heapq.heappop(arriving)
            request = Request(max(1, round(chance.gauss(200, 40))), max(1, round(chance.gauss(100, 10))))
            engine.add(request, at_s)
            sent_s[request] = at_s - RETURN_S
        if not engine.busy:
            now_s = arriving[0][0]
            continue
        now_s += engine.begin_step(now_s).duration_s
        for request in engine.end_step(now_s):
            if request.ended:
                heapq.heappush(arriving, (now_s + RETURN_S, next(numbers)))
                yield request, sent_s.pop(request)


def true_value(preset: Preset, slo: Slo, streams: int) -> float:
    """Without the first five requests of each stream."""
    done = answered(preset, streams)
    for _ in range(5 * streams):
        next(done)
    return float(STATS[slo.stat]([NUMBERS[slo.metric](*next(done)) for _ in range(REQUESTS)]))


def true_limit(preset: Preset, slo: Slo) -> int:
    low, high = 0, 1025
    while high - low > 1:
        middle = (low + high) // 2
        kept = slo.margin(true_value(preset, slo, middle)) >= 0
        low, high = (middle, high) if kept else (low, middle)
    return low


class Found(TypedDict):
    """The keys of `capacity --json` that are read here."""

    greatest_concurrency: int | None
    interval: list[int | None]
    levels: list[object]


def search(case: Case, duration_s: float) -> Found:
    with running_simulator(PRESET, settings=case.settings) as url, tempfile.TemporaryDirectory() as data:
        where = ("--url", url, "--model", PRESETS[PRESET].model, "--data", data)
        how = ("--slo", case.slo, "--duration", str(duration_s), "--json")
        command = [sys.executable, "-m", "cli", "capacity", *where, *how]
        found: Found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        return found


def line(case: Case, duration_s: float) -> str:
    limit = true_limit(with_settings(PRESETS[PRESET], case.settings), parse(case.slo))
    begun_s = time.monotonic()
    found = search(case, duration_s)
    answer, levels, (low, high) = found["greatest_concurrency"] or 0, found["levels"], found["interval"]
    right = "yes" if abs(answer - limit) <= max(1, 0.03 * limit) and len(levels) <= 10 else "NO"
    minutes = (time.monotonic() - begun_s) / 60
    searched = ", ".join((f"`{case.slo}`", *case.settings))
    return f"| {searched} | {limit} | {answer} | {low} to {high} | {len(levels)} | {minutes:.0f} | {right} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--duration", type=float, default=40.0, help="of each level, in seconds")
    duration_s = parser.parse_args().duration
    print("| SLO | true limit | found | met with, missed with (95%) | levels | minutes | right |")
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        print(line(case, duration_s), flush=True)


if __name__ == "__main__":
    main()
