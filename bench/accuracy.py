"""Accuracy and cost of load generators, ours and others, against a server whose send times are known.

    python bench/accuracy.py [--streams 1 32 100 500 1000] [--peers] [--jitter 0.2]

Each client has its own reference server (a first token after 200 ms, then one every 20 ms, 100 tokens), one client
after another, on this machine. The truth is the server's log: TTFT is from the kernel's timestamp of the request to
just before the send of the first token. "held" is the share of streams in flight by that log, in the middle of the run.
CPU is of the whole command, with its start and imports; for ours, "of these" is that of the measuring processes. The
last column is a C loop of epoll and recvmsg against the same server, which discards what it receives.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import orjson
from rich.console import Console
from rich.table import Table

from bench.peers.peers import PEERS, Load, Peer, metered
from bench.peers.peers import run as run_peer
from shapebench.analysis import level_samples
from shapebench.test_servers.reference.process import running_reference_server

TTFT_S, GAP_S, TOKENS = 0.2, 0.02, 100
BARE_S = 8.0
HERE = Path(__file__).parent
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """The true times and tokens of answers that were sent in full."""

    ttft_s: Values
    gap_s: Values
    begun_s: Values
    ended_s: Values
    tokens: int
    all_tokens: int  # of warm-ups, too

    @property
    def held(self) -> float:
        """Requests in flight on average between a quarter and three quarters of the run."""
        start, end = (float(np.quantile([self.begun_s.min(), self.ended_s.max()], q)) for q in (0.25, 0.75))
        return float((self.ended_s.clip(start, end) - self.begun_s.clip(start, end)).sum() / (end - start))


@dataclass(frozen=True)
class Said:
    """A client's report; None: it has no such number."""

    name: str
    ttft_mean_s: float | None = None
    ttft_p99_s: float | None = None
    gap_p99_s: float | None = None
    tokens_per_s: float | None = None
    cpu_s: float | None = None
    own_cpu_us_per_token: float | None = None  # of the measuring processes alone
    answers: frozenset[str] | None = None  # the ids of those that the report is about; None: all
    error: str | None = None


def read_truth(log: Path, answers: frozenset[str] | None) -> Truth:
    logged = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    whole = (line for line in logged if len(line["sent_ns"]) == TOKENS)
    lines = [line for line in whole if answers is None or line["request_id"] in answers]
    sent = np.array([line["sent_ns"] for line in lines], dtype=np.int64).reshape(-1, TOKENS)
    received = np.array([line["received_ns"] for line in lines], dtype=np.int64)
    origin = received.min() if len(received) else 0
    return Truth(
        ttft_s=(sent[:, 0] - received) / 1e9,
        gap_s=(np.diff(sent) / 1e9).ravel(),
        begun_s=(received - origin) / 1e9,
        ended_s=(sent[:, -1] - origin) / 1e9,
        tokens=sent.size,
        all_tokens=sum(line["output_tokens"] for line in logged),
    )


def ours(url: str, streams: int, requests: int, processes: int | None) -> Said:
    """`shapebench measure` as people call it, its self-calibration left out."""
    command = [sys.executable, "-m", "cli", "measure", "--url", url, "--model", "metronome", "--json"]
    load = ["--concurrency", str(streams), "--requests", str(requests), "--output-tokens", str(TOKENS)]
    shared = [] if processes is None else ["--processes", str(processes)]
    with tempfile.TemporaryDirectory() as folder:
        took = metered([*command, *load, *shared, "--no-calibrate", "--samples", folder], Path(folder), {}, 300)
        output = (Path(folder) / "output.txt").read_text()
        if took.status:
            return Said("shapebench", error=output[-300:])
        [samples] = Path(folder).glob("runs/*/level-*.parquet")
        answers = frozenset(level_samples.completed(level_samples.read(samples))["response_id"])
    found = json.loads(output[output.index("{") :])
    return Said(
        "shapebench",
        ttft_mean_s=found["ttft_s"]["mean"],
        ttft_p99_s=found["ttft_s"]["p99"],
        gap_p99_s=found["inter_token_s"]["p99"],
        tokens_per_s=found["steady_tokens_per_s"],
        cpu_s=took.cpu_s,
        own_cpu_us_per_token=1e6 * found["client"]["process_cpu_s"] / found["client"]["tokens"],
        answers=answers,
    )


def theirs(url: str, peer: Peer, streams: int, requests: int) -> Said:
    with tempfile.TemporaryDirectory() as folder:
        said = run_peer(peer, Load(url, "metronome", streams, requests, Path(folder)))
    name = f"{peer.name} {said.version}"
    times_s = (said.ttft_mean_s, said.ttft_p99_s, said.inter_token_p99_s)
    return Said(name, *times_s, said.tokens_per_s, said.cpu_s, error=said.error)


def bare_us_per_token(streams: int) -> float:
    """CPU of the C loop."""
    with tempfile.TemporaryDirectory() as folder, running_reference_server(TTFT_S, GAP_S) as url:
        program = Path(folder) / "bare"
        subprocess.run(["cc", "-O2", str(HERE / "bare.c"), "-o", str(program)], check=True)
        arguments = [str(program), str(streams), str(BARE_S), str(urlsplit(url).port)]
        tokens, cpu_s = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.split()
    return 1e6 * float(cpu_s) / int(tokens)


@contextmanager
def known(jitter: float) -> Iterator[tuple[str, Path]]:
    """Address and log of a reference server."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "truth.jsonl"
        with running_reference_server(TTFT_S, GAP_S, jitter, log) as url:
            yield url, log


def row(streams: int, jitter: float, client: Callable[[str], Said], bare_us: float) -> list[str]:
    with known(jitter) as (url, log):
        said = client(url)
        truth = read_truth(log, said.answers)
    if said.error or not truth.tokens:
        return [str(streams), said.name, f"failed: {said.error}"]
    per_token_us = 1e6 * said.cpu_s / truth.all_tokens if said.cpu_s else None
    ideal = streams * TOKENS / (TTFT_S + (TOKENS - 1) * GAP_S)
    return [
        str(streams),
        said.name,
        pair(said.ttft_mean_s, float(truth.ttft_s.mean())),
        pair(said.ttft_p99_s, float(np.percentile(truth.ttft_s, 99))),
        pair(said.gap_p99_s, float(np.percentile(truth.gap_s, 99))),
        f"{said.tokens_per_s:,.0f} ({said.tokens_per_s / ideal:.0%})" if said.tokens_per_s else "-",
        f"{truth.held / streams:.1%}",
        cell(per_token_us),
        cell(said.own_cpu_us_per_token),
        cell(bare_us),
    ]


def pair(reported_s: float | None, true_s: float) -> str:
    return f"{cell(reported_s, 1e3, 2)} / {1e3 * true_s:.2f}"


def cell(value: float | None, scale: float = 1.0, digits: int = 1) -> str:
    return "-" if value is None else f"{scale * value:.{digits}f}"


COLUMNS = (
    *("streams", "client", "TTFT mean\nreported / true (ms)", "TTFT p99\nreported / true (ms)"),
    *("gap p99\nreported / true (ms)", "tokens/s\n(of those to be had)", "held", "CPU (us)\na token", "of these\nown"),
    "bare C\nloop",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 32, 100, 500, 1000])
    parser.add_argument("--requests-per-stream", type=int, default=5)
    parser.add_argument("--processes", type=int, default=1, help="of ours")
    parser.add_argument("--jitter", type=float, default=0.0)
    parser.add_argument("--peers", action="store_true", help="the others, too (make bench-peers)")
    arguments = parser.parse_args()
    table = Table(*COLUMNS, box=None)
    for streams in arguments.streams:
        requests = max(streams * arguments.requests_per_stream, 10)
        clients: list[Callable[[str], Said]] = [
            partial(ours, streams=streams, requests=requests, processes=arguments.processes)
        ]
        if arguments.peers:
            clients += [partial(theirs, peer=peer, streams=streams, requests=requests) for peer in PEERS]
        bare_us = bare_us_per_token(streams)
        for client in clients:
            table.add_row(*(cells := row(streams, arguments.jitter, client, bare_us)))
            print("  ".join(cells), file=sys.stderr, flush=True)
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
