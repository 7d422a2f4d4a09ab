"""`make demo`: the article's experiment against the embedded simulator of its machine."""

import sys
from pathlib import Path

from rich.console import Console

from cli.run import print_result, run_benchmark
from shapebench.spec.model import parse
from shapebench.test_servers.simulator.presets import LLAMA
from shapebench.test_servers.simulator.process import running_simulator

PRESET = "a10-llama-3.2-3b"
WEIGHTS_BYTES = 6.4e9  # 3.2 billion parameters of 2 bytes


def main() -> int:
    """Run the main job; exit 1 where it fails."""
    console = Console()
    with running_simulator(PRESET) as url:
        endpoint = {"url": url, "model": LLAMA, "shape": "VM.GPU.A10.1 (simulated)", "weights_bytes": WEIGHTS_BYTES}
        spec = parse({"endpoint": endpoint, "load": {"requests_per_stream": 10}, "data": Path("data")})
        ended = run_benchmark(spec, console)
    if ended.outcome is None:
        console.print(ended.message, style="red", highlight=False)
        return 1
    print_result(spec, ended.outcome, console)
    if ended.failed:
        console.print(ended.message, style="red", highlight=False)
    return int(ended.failed)


if __name__ == "__main__":
    sys.exit(main())
