"""From the spec to what the measuring processes are told, and back to a level's record."""

import itertools
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shapebench.analysis.level_samples import read
from shapebench.load import workers
from shapebench.load.counters import Progress
from shapebench.load.plan import LevelPlan
from shapebench.load.run_level import _changes, _requested, measure_level, plan
from shapebench.load.workers import Outcome
from shapebench.probe.client import Client
from shapebench.runs.prompt_sizing import PromptSizing, candidate_words
from shapebench.runs.records import Calibration, LevelRun, RequestedLoad, ServerFacts
from shapebench.runs.run_file import begin
from shapebench.server_metrics.reconcile import ServerMetrics
from shapebench.spec.lengths import Lengths
from shapebench.spec.model import Endpoint, parse
from shapebench.support.child_processes import stopped_on_error
from shapebench.test_servers.simulator.presets import LLAMA
from shapebench.test_servers.simulator.process import running_simulator
from tests.route_server import Reply, healthy, serving, table

FACTS = ServerFacts(
    server="vllm",
    version="0.32.0",
    max_model_len=4096,
    models=(LLAMA,),
    fingerprint=None,
    sizing=PromptSizing(candidate_words()),
    probe_e2e_s=0.5,
)
SHORT = {"input_tokens": 50, "output_tokens": "20,2"}


def planned(tmp_path: Path, concurrency: int = 4, processes: int = 1, **load: Any) -> LevelPlan:
    endpoint = {"url": "http://127.0.0.1:8000", "model": LLAMA}
    run = begin(parse({"endpoint": endpoint, "load": {"levels": [concurrency], **load}, "data": tmp_path}))
    return plan(run, FACTS, concurrency, processes)


def test_each_stream_has_thirty_requests_where_nothing_else_is_said(tmp_path: Path) -> None:
    told = planned(tmp_path)
    assert (told.requests, told.duration_s, told.until_precise) == (120, None, None)


def test_each_stream_has_its_warm_up(tmp_path: Path) -> None:
    assert planned(tmp_path, warmup_requests_per_stream=3).warmup_requests == 12


def test_a_duration_alone_plans_no_number_of_requests(tmp_path: Path) -> None:
    told = planned(tmp_path, duration_s=2.5)
    assert (told.requests, told.duration_s) == (None, 2.5)


def test_all_limits_are_passed_on(tmp_path: Path) -> None:
    told = planned(tmp_path, requests=9, duration_s=2, until_precise="2%", request_timeout_s=7, stall_timeout_s=3)
    assert (told.requests, told.duration_s, told.until_precise) == (9, 2, 0.02)
    assert (told.request_timeout_s, told.stall_timeout_s) == (7, 3)


def test_the_samples_of_a_level_lie_in_the_run_s_folder(tmp_path: Path) -> None:
    told = planned(tmp_path, concurrency=10_000)
    assert Path(told.samples).relative_to(tmp_path / "runs").parts[1:] == ("level-10000.parquet",)


def test_a_plan_reaches_its_process_as_it_is(tmp_path: Path) -> None:
    told = planned(tmp_path, processes=3, duration_s=2, until_precise="2%", stall_timeout_s=3).parts()[2]
    assert LevelPlan.from_json(told.to_json()) == told


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_simulator("fast") as address:
        yield address


CALIBRATION = Calibration(4, 2, requests=7)


def measured(url: str, data: Path, calibration: Calibration = CALIBRATION, **load: Any) -> LevelRun:
    load = {"levels": [4], "requests": 20, **load}
    run = begin(parse({"endpoint": {"url": url, "model": LLAMA}, "workload": SHORT, "load": load, "data": data}))
    return measure_level(run, FACTS, calibration, ignore)


def ignore(_: Progress) -> None:
    """Nobody watches."""


@pytest.mark.slow
def test_a_level_is_on_record_with_what_was_planned_and_how_it_was_tried_out(url: str, tmp_path: Path) -> None:
    level = measured(url, tmp_path)
    assert (level.error, level.concurrency, level.planned_requests) == (None, 4, 20)
    assert level.calibration == CALIBRATION


@pytest.mark.slow
def test_the_level_runs_in_as_many_processes_as_the_calibration_found(url: str, tmp_path: Path) -> None:
    assert measured(url, tmp_path).client["processes"] == 2


@pytest.mark.slow
def test_what_was_not_tried_out_is_not_on_record(url: str, tmp_path: Path) -> None:
    assert measured(url, tmp_path, Calibration(4, 1), calibrate=False).calibration is None


@pytest.mark.slow
def test_where_time_ended_the_level_those_sent_are_all_that_there_were_to_be(url: str, tmp_path: Path) -> None:
    level = measured(url, tmp_path, requests=None, duration_s=0.5)
    assert level.error is None
    assert level.samples is not None
    assert level.planned_requests == (~read(level.samples).requests["warmup"]).sum() > 0


@pytest.mark.slow
def test_a_time_that_was_not_needed_leaves_the_number_that_was_planned(url: str, tmp_path: Path) -> None:
    assert measured(url, tmp_path, duration_s=3600).planned_requests == 20


@pytest.mark.slow
def test_a_level_that_broke_off_keeps_the_number_that_was_planned(url: str, tmp_path: Path) -> None:
    load = {"levels": [4], "requests": 5000, "duration_s": 3600}
    run = begin(parse({"endpoint": {"url": url, "model": LLAMA}, "load": load, "data": tmp_path}))
    (run.folder / "level-0004.parquet.1.arrow").symlink_to(tmp_path / "none" / "there")
    level = measure_level(run, FACTS, CALIBRATION, ignore)
    assert level.error is not None
    assert level.planned_requests == 5000


@pytest.mark.slow
def test_how_precise_it_was_to_become_is_on_record(url: str, tmp_path: Path) -> None:
    assert measured(url, tmp_path, until_precise="5%").until_precise == 0.05


def facts_of(url: str) -> ServerFacts:
    """As the probe learns them."""
    with Client(Endpoint(url=url, model=LLAMA)) as client:
        return replace(FACTS, identity=client.identity())


def measured_knowing(facts: ServerFacts, url: str, data: Path) -> LevelRun:
    load = {"levels": [4], "requests": 20}
    run = begin(parse({"endpoint": {"url": url, "model": LLAMA}, "workload": SHORT, "load": load, "data": data}))
    return measure_level(run, facts, CALIBRATION, ignore)


@pytest.mark.slow
def test_a_level_has_the_account_of_its_server_which_stayed_the_same(url: str, tmp_path: Path) -> None:
    level = measured_knowing(facts_of(url), url, tmp_path)
    assert (level.error, level.server_error, level.server_changes) == (None, None, ())
    assert level.samples is not None
    assert level.server_metrics == level.samples.with_name("server-0004.parquet")
    requests, server = read(level.samples).requests, ServerMetrics.read(level.server_metrics)
    assert server.growth("finished_requests") == len(requests) == 28  # warm-up included
    assert server.growth("prompt_tokens") == requests["input_tokens"].sum()
    assert server.growth("generation_tokens") == requests["output_tokens"].sum()


@pytest.mark.slow
def test_a_server_of_another_version_after_the_level_has_changed(tmp_path: Path) -> None:
    with running_simulator("fast", faults=["other_version_after=10"]) as address:
        facts = facts_of(address)
        (change,) = measured_knowing(facts, address, tmp_path).server_changes
    assert change.startswith(f"version was {facts.identity['version']} and is ")


@pytest.mark.slow
def test_a_server_without_metrics_is_measured_and_it_is_said_why_there_is_no_account(tmp_path: Path) -> None:
    with running_simulator("fast", faults=["hidden_metrics=1"]) as address:
        level = measured_knowing(facts_of(address), address, tmp_path)
    assert (level.error, level.server_metrics, level.server_changes) == (None, None, ())
    assert level.server_error == f"{address}/metrics answers with HTTP 404."


@pytest.mark.slow
def test_of_a_server_that_is_gone_after_the_level_the_account_is_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as servers:
        address = servers.enter_context(running_simulator("fast"))
        facts, measures = facts_of(address), workers.run_workers

        def measured_before_it_stops(*told: Any) -> Outcome:
            outcome = measures(*told)
            servers.close()
            return outcome

        monkeypatch.setattr(workers, "run_workers", measured_before_it_stops)
        level = measured_knowing(facts, address, tmp_path)
    assert (level.error, level.server_changes) == (None, ())
    assert level.server_error is not None
    assert level.server_error.startswith(f"No connection to {address}")
    assert level.server_metrics is not None  # what it said before


@pytest.mark.slow
def test_of_a_level_that_broke_off_it_is_not_requested_what_the_server_has_become(url: str, tmp_path: Path) -> None:
    load = {"levels": [4], "requests": 5000}
    run = begin(parse({"endpoint": {"url": url, "model": LLAMA}, "load": load, "data": tmp_path}))
    (run.folder / "level-0004.parquet.1.arrow").symlink_to(tmp_path / "none" / "there")
    level = measure_level(run, replace(FACTS, identity={"version": "another"}), CALIBRATION, ignore)
    assert level.error is not None
    assert level.server_changes == ()
    assert level.server_metrics is not None


@pytest.mark.slow
@pytest.mark.parametrize(("number", "stopped"), [(signal.SIGTERM, True), (signal.SIGKILL, False)])
def test_a_level_that_was_stopped_is_told_from_one_that_failed(
    url: str, tmp_path: Path, number: int, stopped: bool
) -> None:
    run = begin(parse({"endpoint": {"url": url, "model": LLAMA}, "load": {"requests": 1_000_000}, "data": tmp_path}))

    def end(_: Progress) -> None:
        for process in children.running:
            process.send_signal(number)

    with stopped_on_error() as children:
        level = measure_level(run, FACTS, CALIBRATION, end)
    assert level.error is not None
    assert level.stopped is stopped


def changes(before: dict[str, str], **replies: Reply) -> tuple[tuple[str, ...], str | None]:
    with serving(table(healthy(**replies))) as served, Client(Endpoint(url=served.url, model=LLAMA)) as client:
        return _changes(before, client)


def test_each_change_says_what_was_and_what_is() -> None:
    before = {"model": f"{LLAMA} of 8192 tokens", "its start": "1970-01-01 00:00:01 UTC", "block_size": "16"}
    page = 'process_start_time_seconds 1.0\nvllm:cache_config_info{block_size="32"} 1\n'
    assert changes(before, GET_metrics=(200, page))[0] == (
        "block_size was 16 and is 32",
        f"model was {LLAMA} of 8192 tokens and is {LLAMA} of 4096 tokens",
    )


def test_what_was_said_only_once_is_no_change() -> None:
    """A route may have been out of order for a moment."""
    before = {"model": f"{LLAMA} of 4096 tokens", "its start": "1970-01-01 00:00:01 UTC"}
    assert changes(before, GET_version=(200, {"version": "0.32.0"})) == ((), None)


def test_several_addresses_that_answered_are_a_doubt_and_no_change() -> None:
    with serving(table(healthy())) as served, Client(Endpoint(url=served.url, model=LLAMA)) as client:
        found, doubt = _changes({"version": "0.30.0"}, client, ["10.0.0.1:80", "10.0.0.2:80"])
    assert (found, served.asked) == ((), [])
    assert doubt == "2 servers answered (10.0.0.1:80 and 10.0.0.2:80), and what one of them reports is not of all"


def test_servers_that_take_turns_at_an_address_are_a_doubt_and_no_change() -> None:
    versions = itertools.cycle(["0.31.0", "0.32.0"])

    class Turns:
        def identity(self) -> dict[str, str]:
            return {"version": next(versions)}

    found, doubt = _changes({"version": "0.30.0"}, Turns())  # type: ignore[arg-type]
    assert (found, doubt is not None and "several servers" in doubt) == ((), True)


def test_a_server_that_names_no_models_any_more_no_longer_says_what_it_is() -> None:
    _, doubt = changes({"model": LLAMA}, GET_v1__models=(503, "draining"))
    assert doubt is not None
    assert doubt.startswith("its identity can no longer be read (")
    assert "HTTP 503: draining" in doubt


def asked(**endpoint: Any) -> RequestedLoad:
    spec = {"endpoint": {"url": "http://127.0.0.1:8000", "model": LLAMA, **endpoint}, "workload": SHORT}
    return _requested(parse(spec), replace(FACTS, sizing=PromptSizing(candidate_words(), fixed_tokens=42)))


def test_what_was_requested_is_the_workload_of_the_spec_and_what_the_template_adds() -> None:
    assert asked() == RequestedLoad(Lengths(50, 0), Lengths(20, 2), shared_tokens=42, weights_read_s=None)


def test_the_weights_are_read_at_the_pace_of_all_the_shape_s_memory() -> None:
    assert asked(shape="VM.GPU.A10.2 (simulated)", weights_bytes=6e9).weights_read_s == 0.005


@pytest.mark.parametrize("known", [{"shape": "VM.GPU.A10.1"}, {"shape": "my laptop", "weights_bytes": 6e9}])
def test_how_long_the_weights_take_is_not_known_of_an_unknown_shape_or_size(known: dict[str, Any]) -> None:
    assert asked(**known).weights_read_s is None
