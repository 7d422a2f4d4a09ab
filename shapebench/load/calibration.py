"""The client's own delay and capacity, measured against a server of known timing before a run."""

import math
import tempfile
from dataclasses import replace
from pathlib import Path

import orjson
import pandas as pd

from shapebench.analysis import level_samples
from shapebench.analysis.sample_reader import Samples
from shapebench.apis.target import Credentials, Target
from shapebench.errors import ShapebenchError
from shapebench.load import workers
from shapebench.load.client_health import cores
from shapebench.load.plan import LevelPlan
from shapebench.load.prompts import RequestMix
from shapebench.load.workers import Outcome
from shapebench.runs.prompt_sizing import PromptSizing, candidate_words
from shapebench.runs.records import Calibration, LevelRun
from shapebench.spec.lengths import Lengths
from shapebench.test_servers.reference.process import running_reference_server

DURATION_S = 1.0
TTFT_S, ANSWER_S = 0.1, 0.5
GAP_S = 0.005  # as fast as any server is to a stream: the cost is that of tokens, not of waiting for them
MAX_TOKENS_PER_S = 20_000  # of the reference server, which shares the client's machine

TYPICAL_CPU_US_PER_TOKEN = 20.0
FAST_STREAM_TOKENS_PER_S = 100.0  # speed of one stream of a fast server
BUSY_SHARE = 0.8  # of a core: a process busier than that makes tokens wait


def calibrate(concurrency: int, processes: int | None, *, try_out: bool = True) -> Calibration:
    """Measure how many processes a level needs, and the TTFT that they add; `error` is the reason if that failed."""
    processes = processes and min(processes, concurrency)  # or some would have no stream
    if not try_out:
        return Calibration(concurrency, processes or needed_processes(concurrency, TYPICAL_CPU_US_PER_TOKEN))
    calibration = _try(concurrency, processes or 1)
    needed = processes or needed_processes(concurrency, calibration.cpu_us_per_token or TYPICAL_CPU_US_PER_TOKEN)
    if calibration.error or needed == calibration.processes:
        return replace(calibration, processes=needed)
    return _try(concurrency, needed)


def describe(calibration: Calibration) -> str:
    """Describe a calibration that succeeded, in a line."""
    processes = "1 process" if calibration.processes == 1 else f"{calibration.processes} processes"
    return (
        f"adds {1e3 * (calibration.added_ttft_mean_s or 0):.2f} ms to TTFT, "
        f"can handle {calibration.capacity_tokens_per_s or 0:,.0f} tokens/s ({processes})"
    )


def needed_processes(concurrency: int, cpu_us_per_token: float) -> int:
    """Count the processes that keep up with a fast server; no more than cores, nor than streams."""
    busy = concurrency * FAST_STREAM_TOKENS_PER_S * cpu_us_per_token / 1e6
    return max(1, min(math.ceil(busy / BUSY_SHARE), cores(), concurrency))


def sufficient_processes(level: LevelRun) -> int:
    """Count the processes that a measured level would have needed, by the CPU time that it took."""
    return math.ceil(level.client["cpu_s"] / level.wall_s / BUSY_SHARE)


def _try(concurrency: int, processes: int) -> Calibration:
    gap_s = max(GAP_S, concurrency / MAX_TOKENS_PER_S)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        try:
            with running_reference_server(TTFT_S, gap_s, log=folder / "truth.jsonl") as url:
                outcome = workers.run_workers(
                    _plan(url, concurrency, processes, gap_s, folder), Credentials(), lambda _: None
                )
        except ShapebenchError as error:
            return Calibration(concurrency, processes, error=str(error))
        if outcome.error or outcome.samples is None:
            return Calibration(concurrency, processes, error=outcome.error)
        return _evaluate(
            concurrency, processes, outcome, level_samples.read(outcome.samples), true_ttft_s(folder / "truth.jsonl")
        )


def _plan(url: str, concurrency: int, processes: int, gap_s: float, folder: Path) -> LevelPlan:
    return LevelPlan(
        target=Target(url, "metronome", "chat"),
        mix=RequestMix(PromptSizing(candidate_words()), Lengths(200, 0), Lengths(max(5, ANSWER_S / gap_s), 0), seed=1),
        concurrency=concurrency,
        requests=None,
        warmup_requests=concurrency,
        request_timeout_s=30,
        samples=str(folder / "level.parquet"),
        duration_s=DURATION_S,
        processes=processes,
    )


def true_ttft_s(log: Path) -> pd.Series:
    """Read the reference server's log: each answer's TTFT (s) by its id."""
    lines = map(orjson.loads, log.read_bytes().splitlines())
    return pd.Series({x["request_id"]: (x["sent_ns"][0] - x["received_ns"]) / 1e9 for x in lines if x["sent_ns"]})


def _evaluate(concurrency: int, processes: int, outcome: Outcome, samples: Samples, true_s: pd.Series) -> Calibration:
    done = level_samples.completed(samples)
    if done.empty:
        failed = samples.requests["error_message"].dropna()
        return Calibration(
            concurrency, processes, error=f"No request completed: {failed.iloc[0] if len(failed) else ''}"
        )
    added_s = pd.Series(done["ttft_s"].to_numpy() - true_s.reindex(done["response_id"]).to_numpy())
    cost_us = outcome.client["cpu_us_per_token"]
    return Calibration(
        concurrency,
        processes,
        requests=len(done),
        tokens_per_s=float(outcome.client["tokens"] / outcome.wall_s),
        added_ttft_mean_s=float(added_s.mean()),
        added_ttft_p50_s=float(added_s.median()),
        added_ttft_p99_s=float(added_s.quantile(0.99)),
        cpu_us_per_token=cost_us,
        capacity_tokens_per_s=processes * BUSY_SHARE * 1e6 / cost_us,
    )
