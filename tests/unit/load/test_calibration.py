"""What the client finds out of itself: real processes against a real metronome, and how many processes follow."""

from pathlib import Path

import pytest

from shapebench.errors import ShapebenchError
from shapebench.load import calibration as module
from shapebench.load.calibration import BUSY_SHARE, FAST_STREAM_TOKENS_PER_S, calibrate, needed_processes
from shapebench.runs.records import Calibration
from shapebench.test_servers.reference.process import running_reference_server

CORE_US = 1e6 * BUSY_SHARE / FAST_STREAM_TOKENS_PER_S  # what a token of one stream may cost for a process to be full
CORES = 4


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: CORES)


@pytest.mark.usefixtures("cores")
@pytest.mark.parametrize(
    ("concurrency", "cores_busy", "processes"),
    [(100, 0.01, 1), (100, 1.0, 1), (100, 1.01, 2), (100, 2.5, 3), (100, 100.0, CORES)],
)
def test_there_are_as_many_processes_as_the_tokens_keep_busy(
    concurrency: int, cores_busy: float, processes: int
) -> None:
    assert needed_processes(concurrency, cores_busy * CORE_US / concurrency) == processes


@pytest.mark.usefixtures("cores")
@pytest.mark.parametrize("concurrency", [1, 2, 3])
def test_there_are_never_more_processes_than_streams(concurrency: int) -> None:
    assert needed_processes(concurrency, 1e6) == concurrency


def test_a_token_that_costs_nothing_needs_one_process_all_the_same() -> None:
    assert needed_processes(10_000, 0.0) == 1


def no_server(*_: object, **__: object) -> None:
    raise AssertionError("nothing was to be started")


def broken(*_: object, **__: object) -> None:
    raise ShapebenchError("no metronome", "none")


def test_turned_off_it_starts_no_server_and_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "running_reference_server", no_server)
    assert calibrate(8, None, try_out=False) == Calibration(8, 1)


def test_turned_off_it_goes_by_the_usual_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: CORES)
    assert calibrate(10_000, None, try_out=False).processes == CORES


@pytest.mark.parametrize(("asked", "processes"), [(1, 1), (3, 3), (5, 4)])
def test_turned_off_there_are_as_many_processes_as_were_asked_for_but_each_has_a_stream(
    asked: int, processes: int
) -> None:
    assert calibrate(4, asked, try_out=False).processes == processes


def test_a_metronome_that_does_not_start_is_an_error_in_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "running_reference_server", broken)
    found = calibrate(8, None)
    assert (found.processes, found.requests, found.tokens_per_s) == (1, 0, None)
    assert "no metronome" in (found.error or "")


@pytest.mark.slow
@pytest.mark.measures_time
def test_a_metronome_that_ends_at_once_is_an_error_in_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "running_reference_server", lambda *_, **__: running_reference_server(ttft_s=-1))
    assert "ended before it was ready" in (calibrate(2, None).error or "")


@pytest.mark.usefixtures("cores")
def test_where_the_cost_is_not_known_the_usual_one_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "running_reference_server", broken)
    assert calibrate(10_000, None).processes == CORES


@pytest.fixture(scope="module", params=[(1, None), (8, None), (8, 3)], ids=str)
def found(request: pytest.FixtureRequest) -> Calibration:
    return calibrate(*request.param)


@pytest.mark.slow
@pytest.mark.measures_time
def test_it_is_found_at_the_level_s_own_concurrency(found: Calibration) -> None:
    assert found.error is None
    assert found.requests >= found.concurrency


@pytest.mark.slow
@pytest.mark.measures_time
def test_the_client_adds_little_and_nothing_impossible(found: Calibration) -> None:
    assert found.added_ttft_mean_s is not None
    assert found.added_ttft_p99_s is not None
    assert found.added_ttft_p50_s is not None
    assert 0 < found.added_ttft_p50_s <= found.added_ttft_p99_s
    assert 0 < found.added_ttft_mean_s <= found.added_ttft_p99_s < 0.1


@pytest.mark.slow
@pytest.mark.measures_time
def test_the_tokens_that_it_took_are_those_that_the_metronome_can_send(found: Calibration) -> None:
    assert found.tokens_per_s is not None
    assert 0 < found.tokens_per_s <= found.concurrency / module.GAP_S


@pytest.mark.slow
@pytest.mark.measures_time
def test_what_it_can_take_is_more_than_what_it_took(found: Calibration) -> None:
    assert found.capacity_tokens_per_s is not None
    assert found.tokens_per_s is not None
    assert found.capacity_tokens_per_s > found.tokens_per_s


@pytest.mark.slow
@pytest.mark.measures_time
def test_what_it_can_take_follows_from_what_a_token_costs(found: Calibration) -> None:
    assert found.cpu_us_per_token is not None
    cores = found.processes * BUSY_SHARE
    assert found.capacity_tokens_per_s == pytest.approx(cores * 1e6 / found.cpu_us_per_token)


@pytest.mark.slow
@pytest.mark.measures_time
def test_the_level_gets_the_processes_that_were_tried_out() -> None:
    assert calibrate(8, 3).processes == 3


@pytest.mark.slow
@pytest.mark.measures_time
def test_what_proves_dear_is_tried_out_with_more_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FAST_STREAM_TOKENS_PER_S", 1e6)
    monkeypatch.setattr(module, "cores", lambda: 2)
    found = calibrate(4, None)
    assert (found.processes, found.error) == (2, None)


@pytest.mark.slow
@pytest.mark.measures_time
def test_the_truth_of_a_metronome_s_log_is_each_answer_s_ttft(tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    log.write_text(
        '{"request_id":"a","received_ns":1000000000,"sent_ns":[1250000000,1300000000]}\n'
        '{"request_id":"b","received_ns":1000000000,"sent_ns":[]}\n'
    )
    assert module.true_ttft_s(log).to_dict() == {"a": 0.25}
