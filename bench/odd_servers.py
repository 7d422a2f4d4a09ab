"""Load generators, ours and others, against servers that differ from OpenAI's, whose timing is known.

    python bench/odd_servers.py [--peers] [--server "no usage" …]

Each client has its own server (shapebench/test_servers/odd: a first token after 35 ms, then one every 5 ms, 20 tokens)
for 20 requests in two streams. A value is right if it is within 25% of the server's log (the clients share two cores
with the server), and withheld if the client reports none; anything else is wrong.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
from rich.console import Console
from rich.table import Table

from bench.peers.peers import PEERS, Load, Peer, metered
from bench.peers.peers import run as run_peer
from shapebench.test_servers.odd.oddities import USUAL, Oddities
from shapebench.test_servers.odd.process import running_odd_server

STREAMS, REQUESTS, TOKENS, TOLERANCE = 2, 20, 20, 0.25
MODEL = "m"

SERVERS = {
    "the usual one": USUAL,
    "usage of 0 in each chunk": Oddities(usage_in_chunks="zero"),
    "five tokens in each chunk": Oddities(tokens_per_chunk=5),
    "a chunk for each character": Oddities(chunk_per_character=True),
    "empty chunks before prefill ends": Oddities(leading_empty_chunks=2),
    "heartbeats of null": Oddities(heartbeats=("null", "empty_data")),
    "no usage, but /tokenize": Oddities(usage_place="nowhere", tokenize=True),
    "no [DONE]": Oddities(no_done=True),
    "an error after five tokens, then usage": Oddities(error="named_event", after_error="usage_and_done"),
}


@dataclass(frozen=True)
class Report:
    """A client's report: times in s, None where it has no such number."""

    name: str
    ttft_s: float | None = None
    inter_token_s: float | None = None
    completed: int = 0
    failed: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class Truth:
    """The means of the answers that the server sent in full, and how many these were."""

    ttft_s: float
    inter_token_s: float
    completed: int


def read_truth(log: Path) -> Truth:
    lines = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    full = [line for line in lines if line["error"] is None and len(line["sent_ns"]) == TOKENS]
    ttft_s = [(line["first_token_ns"] - line["received_ns"]) / 1e9 for line in full]
    gaps_s = [mean_gap_s(np.array(line["sent_ns"], dtype=np.int64)) for line in full]
    return Truth(float(np.mean(ttft_s or np.nan)), float(np.mean(gaps_s or np.nan)), len(full))


def mean_gap_s(sent_ns: npt.NDArray[np.int64]) -> float:
    """Return the mean time between tokens after the first chunk, whose tokens come together."""
    return float((sent_ns[-1] - sent_ns[0]) / (sent_ns > sent_ns[0]).sum() / 1e9)


def measure_ours(url: str) -> Report:
    command = [sys.executable, "-m", "cli", "measure", "--url", url, "--model", MODEL, "--json", "--no-calibrate"]
    load = ["--concurrency", str(STREAMS), "--requests", str(REQUESTS), "--output-tokens", f"{TOKENS},0"]
    with tempfile.TemporaryDirectory() as folder:
        took = metered([*command, *load], Path(folder), {}, 120)
        output = (Path(folder) / "output.txt").read_text()
    if took.status:
        return Report("shapebench", error=output[-300:])
    found = json.loads(output[output.index("{") :])
    means = (found["ttft_s"]["mean"], found["inter_token_s"]["mean"])
    return Report("shapebench", *means, completed=found["completed"], failed=found["failed"])


def measure_theirs(url: str, peer: Peer) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        said = run_peer(peer, Load(url, MODEL, STREAMS, REQUESTS, Path(folder), output_tokens=TOKENS), 120)
    name = f"{peer.name} {said.version}"
    return Report(name, said.ttft_mean_s, said.inter_token_mean_s, said.completed or 0, said.failed, said.error)


def describe(reported_s: float | None, true_s: float) -> str:
    """Put a value beside the truth, with the verdict."""
    if reported_s is None:
        return "withheld"
    if np.isnan(true_s):
        return f"{1e3 * reported_s:.1f} ms, **wrong**: no answer was complete"
    right = abs(reported_s / true_s - 1) <= TOLERANCE
    return f"{1e3 * reported_s:.1f} / {1e3 * true_s:.1f} ms, {'right' if right else '**wrong**'}"


def measure(server: str, client: Callable[[str], Report]) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "truth.jsonl"
        with running_odd_server(SERVERS[server], log) as url:
            report = client(url)
        truth = read_truth(log)
    if report.error:
        error = " ".join(report.error.split())[-100:]
        return [server, report.name, f"no result: {error}", "", ""]
    completed = f"{report.completed} of {report.completed + (report.failed or 0)}"
    return [
        *(server, report.name, describe(report.ttft_s, truth.ttft_s)),
        *(describe(report.inter_token_s, truth.inter_token_s), completed),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", action="store_true", help="the others, too (bench/peers/install.sh, make vllm)")
    parser.add_argument("--server", nargs="+", choices=SERVERS, default=[*SERVERS])
    arguments = parser.parse_args()
    clients: list[Callable[[str], Report]] = [measure_ours]
    if arguments.peers:
        clients += [partial(measure_theirs, peer=peer) for peer in PEERS]
    columns = ("server", "client", "TTFT, reported / true", "time between tokens, reported / true", "completed")
    table = Table(*columns, box=None)
    for server in arguments.server:
        for client in clients:
            table.add_row(*(cells := measure(server, client)))
            print("| " + " | ".join(cells) + " |", file=sys.stderr, flush=True)
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
