"""`make demo-shapes`: four simulated machines, measured at the same time, and the cheapest that meets the SLOs."""

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cli.choose import print_ranking, run_choice
from shapebench.sizing.shapes import known_shape
from shapebench.spec.model import parse_as
from shapebench.spec.multi_endpoint import Choice
from shapebench.test_servers.simulator.presets import LLAMA
from shapebench.test_servers.simulator.process import running_simulator


@dataclass(frozen=True)
class Machine:
    """A shape, one GPU of which is simulated, with a preset of that GPU."""

    shape: str
    preset: str

    @property
    def label(self) -> str:
        count = known_shape(self.shape).count
        return f"{self.shape} (simulated)" if count == 1 else f"{self.shape} (simulated: one GPU of {count})"

    @property
    def price_per_hour(self) -> float:
        """List price of that one GPU."""
        known = known_shape(self.shape)
        assert known.price
        return known.price.per_hour / known.count


MACHINES = (
    Machine("VM.GPU.A10.1", "a10-llama-3.2-3b"),
    Machine("VM.GPU3.1", "v100-llama-3.2-3b"),
    Machine("BM.GPU.L40S.4", "l40s-llama-3.2-3b"),
    Machine("BM.GPU4.8", "a100-40gb-llama-3.2-3b"),
)
# A limit and levels that separate these machines with no more tokens/s than a small machine can simulate and measure:
# the limit lies at 10, 26, 45 and 76 users, and at the levels on both sides of it speed is 8% to 20% from the limit.
LIMITS = {"query_tokens_per_s": 60, "ttft_s": 0.5}
# Not calibrated: four clients that try themselves out would disturb what the others measure.
LOAD = {
    "levels": [1, 6, 18, 32, 56, 96],
    "requests_per_stream": 6,
    "warmup_requests_per_stream": 1,
    "calibrate": False,
}
USERS = 500


def main() -> int:
    """Run the flow; exit 1 where it fails."""
    console = Console()
    with ExitStack() as servers:
        urls = [servers.enter_context(running_simulator(machine.preset)) for machine in MACHINES]
        chosen = run_choice(_choice(urls), console)
    if chosen.compared:
        print_ranking(chosen.compared.answer, console)
    for failure in chosen.failures:
        console.print(failure, style="red", highlight=False)
    return int(bool(chosen.failures))


def _choice(urls: list[str]) -> Choice:
    endpoints = [
        {"url": url, "model": LLAMA, "shape": machine.label} for url, machine in zip(urls, MACHINES, strict=True)
    ]
    prices = {machine.label: machine.price_per_hour for machine in MACHINES}
    shared = {"load": LOAD, "limits": LIMITS, "users": USERS, "data": Path("data")}
    return parse_as(Choice, {"endpoints": endpoints, "prices": prices, **shared}, "examples/choice.yaml")


if __name__ == "__main__":
    sys.exit(main())
