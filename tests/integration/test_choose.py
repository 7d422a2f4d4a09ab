"""`shapebench choose`: endpoints of known truth, measured at the same time, are ranked as the truth does."""

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from cli.local_prefect.own_server import free_port
from shapebench.test_servers.simulator.presets import PRESETS, Preset
from shapebench.test_servers.simulator.process import running_simulator
from tests.conftest import MODEL, Finished, Shell
from tests.in_process import InProcess
from tests.simulator_truth import Lengths, greatest_concurrency

pytestmark = pytest.mark.slow

SLOWER = 4  # than the GPUs themselves: a busy test machine is nothing beside them then
SPEED = 60 / SLOWER  # tokens/s for each query
LEVELS = (4, 18, 34, 56)
LENGTHS = Lengths(input_tokens=40, output_tokens=20, input_stddev=0)
PRICES = {"A10": 2.0, "V100": 2.95, "L40S": 3.5, "A100-40GB": 3.05}
UPSIDE_DOWN = {"A10": 0.1, "V100": 2.0, "L40S": 5.0, "A100-40GB": 20.0}
PACE = ("base_s", "per_sequence_s", "per_prefill_token_s")


def machine(gpu: str) -> Preset:
    preset = PRESETS[f"{gpu.lower()}-llama-3.2-3b"]
    return replace(preset, **{name: SLOWER * getattr(preset, name) for name in PACE})


TRUTH = {gpu: greatest_concurrency(machine(gpu), LENGTHS, query_tokens_per_s=SPEED) for gpu in PRICES}
WORKLOAD = {"input_tokens": LENGTHS.input_tokens, "output_tokens": LENGTHS.output_tokens}
DOWN = "BM.GPU.H100.8"


def by_truth(prices: dict[str, float]) -> list[str]:
    return sorted(prices, key=lambda gpu: prices[gpu] / TRUTH[gpu])


def simulated(preset: Preset) -> AbstractContextManager[str]:
    return running_simulator(preset.name, settings=[f"{name}={getattr(preset, name)}" for name in PACE])


def endpoint(url: str, shape: str, **more: Any) -> dict[str, Any]:
    return {"url": url, "model": MODEL, "shape": shape, **more}


def written(folder: Path, endpoints: list[dict[str, Any]], load: dict[str, Any], **more: Any) -> str:
    file = folder / "choice.yaml"
    content = {"endpoints": endpoints, "workload": WORKLOAD, "load": {"calibrate": False, **load}, **more}
    file.write_text(json.dumps(content), encoding="utf-8")
    return str(file)


@dataclass(frozen=True)
class Made:
    """A choice among four machines, and one that is down."""

    done: Finished
    data: Path
    down: str

    @property
    def ranking(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.done.json["ranking"]
        return found


@pytest.fixture(scope="module")
def made(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("choice")
    down = f"http://127.0.0.1:{free_port()}"
    load = {
        "levels": LEVELS,
        "requests_per_stream": 3,
        "warmup_requests_per_stream": 1,
        "stop_below_query_tokens_per_s": 0.9 * SPEED,
    }
    limits = {"query_tokens_per_s": SPEED, "ttft_s": 20}
    with ExitStack() as servers:
        urls = {gpu: servers.enter_context(simulated(machine(gpu))) for gpu in PRICES}
        endpoints = [*(endpoint(url, gpu) for gpu, url in urls.items()), endpoint(down, DOWN, ready_timeout_s=1)]
        file = written(folder, endpoints, load, limits=limits, prices=PRICES)
        done = shell.run("choose", file, "--data", str(folder / "data"), "--users", "500", "--json")
    return Made(done, folder / "data", down)


def test_the_truth_tells_the_machines_apart_between_levels() -> None:
    assert TRUTH == {"A10": 10, "V100": 26, "L40S": 45, "A100-40GB": 74}


@pytest.mark.nightly
@pytest.mark.measures_time
def test_the_machines_are_ranked_as_the_truth_does(made: Made) -> None:
    assert [rank["shape"] for rank in made.ranking] == by_truth(PRICES), made.done.stderr


@pytest.mark.nightly
@pytest.mark.measures_time
def test_each_suits_as_many_as_the_greatest_level_below_its_true_limit(made: Made) -> None:
    found = {rank["shape"]: rank["greatest"] for rank in made.ranking}
    assert found == {gpu: max(level for level in LEVELS if level <= limit) for gpu, limit in TRUTH.items()}


@pytest.mark.nightly
@pytest.mark.measures_time
def test_with_other_prices_they_are_ranked_as_the_truth_does(made: Made, here: InProcess) -> None:
    runs = [rank["run_id"] for rank in made.ranking]
    prices = [f"--price={gpu}={price}" for gpu, price in UPSIDE_DOWN.items()]
    answer = here.run("compare", *runs, "--view", "shapes", *prices, "--data", str(made.data), "--json").json
    assert [rank["shape"] for rank in answer["ranking"]] == by_truth(UPSIDE_DOWN) != by_truth(PRICES)


@pytest.mark.nightly
@pytest.mark.measures_time
def test_the_number_of_machines_is_that_for_the_users_asked_for(made: Made) -> None:
    assert [rank["instances"] for rank in made.ranking] == [-(-500 // rank["greatest"]) for rank in made.ranking]


@pytest.mark.nightly
@pytest.mark.measures_time
def test_what_more_would_break_is_the_speed(made: Made) -> None:
    assert [rank["limited_by"] for rank in made.ranking[1:]] == [f"query_tokens_per_s mean >= {SPEED:g}"] * 3


@pytest.mark.nightly
@pytest.mark.measures_time
def test_none_waits_for_another_to_be_done(made: Made) -> None:
    told = made.done.stderr
    assert [f"{gpu}: begins, at" in told[: told.index(": done, run")] for gpu in PRICES] == [True] * 4


@pytest.mark.nightly
@pytest.mark.measures_time
def test_an_endpoint_that_is_down_is_left_out_and_named(made: Made) -> None:
    assert made.done.code == 1
    (failure,) = made.done.json["failures"]
    assert failure.startswith(f"{DOWN} at {made.down} could not be measured: ")
    assert "Check that the server runs" in failure
    assert failure in made.done.stderr


@pytest.mark.nightly
@pytest.mark.measures_time
def test_each_endpoint_says_how_far_it_is(made: Made) -> None:
    told = " ".join(made.done.stderr.split())  # a line that is too long for the terminal goes on in the next
    assert all(f"{gpu}: measure: concurrency 18: begins" in told for gpu in PRICES), made.done.stderr


@pytest.mark.nightly
@pytest.mark.measures_time
def test_the_page_says_what_was_asked_for_and_what_it_costs_in_dollars(made: Made) -> None:
    page = Path(made.done.json["page"]).read_text(encoding="utf-8")
    assert "15 tokens/s per query" in page
    assert "$3.05" in page


@pytest.mark.nightly
def test_where_no_endpoint_can_be_measured_nothing_is_ranked(here: InProcess, tmp_path: Path) -> None:
    endpoints = [endpoint(f"http://127.0.0.1:{free_port()}", gpu, ready_timeout_s=0.2) for gpu in ("A10", "V100")]
    done = here.run("choose", written(tmp_path, endpoints, {}), "--data", str(tmp_path), "--quiet", "--json")
    assert (done.code, done.stdout) == (1, "")
    assert [f"{gpu} at http" in done.stderr for gpu in ("A10", "V100")] == [True, True]
    assert "measure" not in done.stderr.replace("could not be measured", "").replace("to be measured", "")


@pytest.mark.nightly
def test_a_run_that_is_stored_but_not_published_is_ranked_and_named(here: InProcess, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    publish = {"folder": str(tmp_path / "file" / "below")}
    with running_simulator("fast") as one, running_simulator("fast") as other:
        file = written(
            tmp_path, [endpoint(one, "A"), endpoint(other, "B")], {"levels": [1], "requests": 20}, publish=publish
        )
        done = here.run("choose", file, "--data", str(tmp_path / "data"), "--json")
    assert done.code == 1
    assert {rank["shape"] for rank in done.json["ranking"]} == {"A", "B"}
    assert all("is ranked, but: Not published" in failure for failure in done.json["failures"])


def test_wrong_usage_ends_with_code_2_and_says_all(here: InProcess, tmp_path: Path) -> None:
    done = here.run("choose", written(tmp_path, [endpoint("h", "A10")], {"levels": [0]}, users=0))
    assert (done.code, done.stdout) == (2, "")
    assert all(field in done.stderr for field in ("endpoints.0.url", "load.levels.0", "users"))


@pytest.mark.nightly
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_what_ends_it_leaves_no_process_behind(number: signal.Signals, shell: Shell, tmp_path: Path) -> None:
    load = {"levels": [2], "duration_s": 300}
    with running_simulator("a10-llama-3.2-3b") as one, running_simulator("v100-llama-3.2-3b") as other:
        file = written(tmp_path, [endpoint(one, "A10"), endpoint(other, "V100")], load)
        process = shell.start("choose", file, "--data", str(tmp_path / "data"))
        wait_until(lambda: len([*(tmp_path / "data").glob("runs/*/level-*.arrow")]) == 2)
        below = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, number)
        process.communicate(timeout=60)
        wait_until(lambda: not any(map(alive, below)))
    assert process.returncode != 0
    assert len(below) >= 6  # of each endpoint a guard, a run and a measuring process


def alive(process: psutil.Process) -> bool:
    """Running; where nobody collects orphans, an ended one stays as a zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], object], at_most_s: float = 90) -> None:
    end_s = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.05)
