"""Servers with real faults, and the expectations that notice: exactly those, with their known companions.

What a client or a clock does wrong no server can commit: tests/unit/expectations/test_expectations.py has all the
others, and every one of these again, as samples written out by hand.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from expectations.validate import validate
from shapebench.analysis.measured_level import summarise_level
from shapebench.load.calibration import calibrate
from shapebench.load.run_level import measure_level
from shapebench.probe.probe import probe
from shapebench.runs.records import Verdict
from shapebench.runs.run_file import begin
from shapebench.spec.model import parse
from shapebench.test_servers.simulator.process import running_simulator
from tests.conftest import MODEL

pytestmark = [pytest.mark.slow, pytest.mark.measures_time]

# Slow enough for the client to be nothing beside it; and of what a delay owes, no burst is sent.
PACE = ("base_s=0.004", "makes_up_s=0.002")
NONE = frozenset[str]()
# What a machine does that has other work as well: true of it, and no server's doing.
BUSY_MACHINE = {"tokens_came_apart", "successors_were_sent_at_once", "client_kept_up"}


def level_of(url: str, data: Path, **changes: dict[str, Any]) -> Verdict:
    """Measure 120 requests of 4 streams, unless `changes` to the spec say other, and validate the level."""
    content: dict[str, Any] = {
        "endpoint": {"url": url, "model": MODEL},
        "workload": {"output_tokens": {"mean": 12, "stddev": 3}},
        "load": {"levels": [4], "requests": 120, "calibrate": False},
        "data": data,
    }
    for section, values in changes.items():
        content[section] = {**content[section], **values}
    run = begin(parse(content))
    facts, calibration = probe(run.spec), calibrate(run.spec.load.levels[0], 1, try_out=False)
    return validate([summarise_level(measure_level(run, facts, calibration, lambda _: None))])


def failed(verdict: Verdict, meant: str = "") -> set[str]:
    """What failed, but for what this machine may have done itself, unless that is what is `meant`."""
    return {finding.expectation for finding in verdict.failed} - (BUSY_MACHINE - {meant})


@contextmanager
def somebody_else(url: str, requests: int) -> Iterator[None]:
    """Sends requests of a hundred tokens and more while the block runs, one after the other."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "word " * 60}], "max_tokens": 40}

    def ask() -> None:
        for _ in range(requests):
            httpx.post(f"{url}/v1/chat/completions", json=body).raise_for_status()

    # A moment after the start: what came before the level is not of the level.
    asking = threading.Timer(1.0, ask)
    asking.start()
    try:
        yield
    finally:
        asking.join()


@dataclass(frozen=True)
class Fault:
    """What the server does, or what is asked of it, and which expectations fail beside the one that is meant."""

    faults: tuple[str, ...] = ()
    companions: frozenset[str] = NONE
    settings: tuple[str, ...] = PACE
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    meanwhile: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()


LONGER = {"workload": {"input_tokens": {"mean": 100}, "output_tokens": {"mean": 100, "stddev": 5}}}
LONG = {"load": {"requests": 400}}
FAULTS = {
    "chunks_agree_with_usage": Fault(("merged=0.01",)),
    "output_lengths_are_as_asked": Fault(("short_tokens=1",)),
    "input_lengths_are_as_asked": Fault(("prompt_tokens_off=5",)),
    "requests_completed": Fault(("refused=1",), frozenset({"errors_are_few", "no_errors"})),
    "errors_are_few": Fault(("refused=0.1",), frozenset({"no_errors"})),
    "no_errors": Fault(("refused=0.02",)),
    "enough_requests_for_the_percentiles": Fault(
        ("refused=0.01",), frozenset({"no_errors"}), changes={"load": {"requests": 100}}
    ),
    "tokens_came_apart": Fault(("bunched=4",)),
    "ttft_did_not_drift": Fault(("drift_s_per_s=0.02",), changes={"load": {"requests": 400}}),
    "is_as_precise_as_asked": Fault(changes={"load": {"until_precise": 0.001}}),
    "output_lengths_are_near": Fault(changes={"workload": {"enforce_output_tokens": False}}),
    "no_faster_than_the_memory": Fault(changes={"endpoint": {"shape": "VM.GPU.A10.1", "weights_bytes": 20e9}}),
    "the_server_gave_its_account": Fault(("hidden_metrics=1",)),
    "the_server_stayed_the_same": Fault(("other_version_after=10",)),
    "no_foreign_traffic": Fault(changes=LONG, meanwhile=lambda url: somebody_else(url, 1)),
    "foreign_traffic_is_little": Fault(
        (), frozenset({"no_foreign_traffic"}), changes=LONG, meanwhile=lambda url: somebody_else(url, 20)
    ),
    "the_server_counted_our_load": Fault(("uncounted=0.5",)),
    "ttft_is_not_below_the_servers": Fault(("ttft_factor=2",)),
    "no_preemptions": Fault(settings=(*PACE, "max_model_len=512", "kv_capacity_tokens=560"), changes=LONGER),
}


QUICK = {
    "requests_completed",
    "tokens_came_apart",
    "output_lengths_are_near",
    "the_server_stayed_the_same",
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.nightly) for name in FAULTS]
)
def test_a_server_with_a_fault_fails_that_expectation_and_its_known_companions_only(name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    with running_simulator("fast", faults=fault.faults, settings=fault.settings) as url, fault.meanwhile(url):
        assert failed(level_of(url, tmp_path, **fault.changes), name) == {name, *fault.companions}


def test_answers_whose_usage_counts_no_tokens_are_failed_requests(tmp_path: Path) -> None:
    with running_simulator("fast", faults=("zero_usage=0.01",), settings=PACE) as url:
        assert failed(level_of(url, tmp_path), "no_errors") == {"no_errors"}


@pytest.mark.nightly
def test_prompts_that_are_sent_a_second_time_come_out_of_the_cache(tmp_path: Path) -> None:
    with running_simulator("fast", settings=PACE) as url:
        first, second = (level_of(url, tmp_path / name, workload={"seed": 7}) for name in ("first", "second"))
    assert (failed(first), failed(second)) == (set(), {"prompts_were_not_cached"})


@pytest.mark.nightly
def test_twenty_clean_runs_give_no_false_alarm(tmp_path: Path) -> None:
    alarms = []
    with running_simulator("fast", settings=PACE) as url:
        for number in range(20):
            streams = (2, 4, 8, 16)[number % 4] if number else 1  # which takes as long as four of the others
            # Enough that one token of each stream, which a busy machine sends late, is not one of a hundred.
            load = {"levels": [streams], "requests": max(100, 25 * streams)}
            alarms += level_of(url, tmp_path / str(number), load=load).failed
    assert [alarm.sentence for alarm in alarms if alarm.expectation not in BUSY_MACHINE] == []
