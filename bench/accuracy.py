"""How true the reported time to first token is, held against the log of a server whose sends are known.

Server and client share this machine, so that both clocks are one. What is called true is the time from the request's
arrival in the server to just before its first token is handed to the kernel.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shapebench import alone, metrics
from shapebench.simulator.presets import LLAMA
from shapebench.simulator.process import running
from shapebench.spec import Spec, parse

PRESET = "a10-llama-3.2-3b"
Values = npt.NDArray[np.float64]
STATS: tuple[Callable[[Values], float], ...] = (np.mean, lambda values: float(np.percentile(values, 99)))


def level_spec(url: str, streams: int, requests_per_stream: int) -> Spec:
    load = {"levels": [streams], "requests_per_stream": requests_per_stream}
    return parse({"endpoint": {"url": url, "model": LLAMA}, "load": load})


def true_ttft_s(log: Path) -> dict[str, float]:
    """From the server's log, for each answer that had a token."""
    lines = map(json.loads, log.read_text().splitlines())
    return {
        line["request_id"]: (line["first_token_ns"] - line["received_ns"]) / 1e9
        for line in lines
        if line["first_token_ns"]
    }


def measure(streams: int, requests_per_stream: int) -> tuple[Values, Values]:
    """Reported and true TTFT (s) of the same requests, warm-up left out."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with running(PRESET, log=folder / "truth.jsonl") as url:
            alone.measure(level_spec(url, streams, requests_per_stream), folder / "data")
        [file] = folder.glob("data/runs/*/level-*.parquet")
        done, truth = metrics.completed(metrics.read(file)), true_ttft_s(folder / "truth.jsonl")
        return done["ttft_s"].to_numpy(), np.array([truth[name] for name in done["response_id"]])


def line(streams: int, reported_s: Values, true_s: Values) -> str:
    """One line of the table, milliseconds throughout."""
    cells = [f"{streams:7} {len(reported_s):8}"]
    for stat in STATS:
        reported_ms, true_ms = 1e3 * stat(reported_s), 1e3 * stat(true_s)
        cells.append(f"{reported_ms:13.2f} {true_ms:9.2f} {reported_ms - true_ms:6.2f}")
    late_ms = 1e3 * (reported_s - true_s)
    return "  ".join([*cells, f"{np.median(late_ms):9.2f} {late_ms.max():6.2f}"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--requests-per-stream", type=int, default=10)
    asked = parser.parse_args(arguments)
    print("                           TTFT mean (ms)                    TTFT p99 (ms)           added (ms)")
    print("streams requests       reported      true   diff       reported      true   diff     median    max")
    for streams in asked.streams:
        print(line(streams, *measure(streams, asked.requests_per_stream)), flush=True)


if __name__ == "__main__":
    main()
