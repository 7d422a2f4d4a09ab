"""The search for the highest concurrency, on servers whose limit is known; workloads, and where a sweep stops."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from shapebench.test_servers.simulator.presets import PRESETS
from shapebench.test_servers.simulator.process import running_simulator
from tests.conftest import MODEL, Finished, Shell
from tests.in_process import InProcess
from tests.simulator_truth import Lengths, greatest_concurrency

pytestmark = pytest.mark.slow

# Slow enough for the client and its machine to be nothing beside it: each stream more makes a step 2 ms longer.
PACE = {"base_s": 0.01, "per_sequence_s": 0.002, "per_prefill_token_s": 0.0}
SERVER = replace(PRESETS["fast"], **PACE)
LENGTHS = Lengths(input_tokens=40, output_tokens=10, input_stddev=0)
SHORT = ("--input-tokens", "40", "--output-tokens", "10", "--no-calibrate")
SPEED = 19.6  # tokens/s: between what 20 and 21 streams get
LIMIT = greatest_concurrency(SERVER, LENGTHS, query_tokens_per_s=SPEED)
SLO = f"query_tokens_per_s mean >= {SPEED}"


@contextmanager
def server(*faults: str) -> Iterator[str]:
    with running_simulator("fast", settings=[f"{name}={value}" for name, value in PACE.items()], faults=faults) as url:
        yield url


def search(here: InProcess, url: str, data: Path, *arguments: str) -> Finished:
    return here.run("capacity", "--url", url, "--model", MODEL, "--data", str(data), *SHORT, "--json", *arguments)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def answer(here: InProcess, data: Path) -> Any:
    with server() as url:
        done = search(here, url, data, "--slo", SLO, "--min-level", "4", "--max-level", "40", "--duration", "2")
    assert done.code == 0, done.stderr
    return done.json


def test_the_truth_is_what_the_test_is_about() -> None:
    assert LIMIT == 20


@pytest.mark.measures_time
@pytest.mark.nightly
def test_the_known_limit_is_found_within_a_stream_in_ten_levels(answer: Any) -> None:
    assert answer["greatest_concurrency"] == pytest.approx(LIMIT, abs=1)
    assert len(answer["levels"]) <= 10


@pytest.mark.measures_time
@pytest.mark.nightly
def test_the_answer_has_its_interval_and_what_limits_it(answer: Any) -> None:
    low, high = answer["interval"]
    assert low <= LIMIT < high
    assert answer["limited_by"] == SLO


@pytest.mark.measures_time
@pytest.mark.nightly
def test_only_the_slos_that_were_given_are_held_against_the_levels(answer: Any) -> None:
    assert {row["slo"] for row in answer["slos"]} == {SLO}
    kept = {row["concurrency"]: row["passes"] for row in answer["slos"]}
    assert kept == {
        level["concurrency"]: level["concurrency"] <= answer["greatest_concurrency"] for level in answer["levels"]
    }


@pytest.mark.measures_time
@pytest.mark.nightly
def test_the_headline_agrees_with_the_answer(answer: Any) -> None:
    assert answer["headline"].startswith(f"Suits {answer['greatest_concurrency']} concurrent users, but not ")


@pytest.mark.measures_time
@pytest.mark.nightly
def test_every_level_measured_is_stored(answer: Any, data: Path, here: InProcess) -> None:
    measured = [level["concurrency"] for level in answer["levels"]]
    assert {24, 14} <= set(measured)
    sql = "SELECT levels FROM runs"
    assert here.run("query", sql, "--data", str(data), "--json").json == [{"levels": measured}]
    samples = {file.name for file in (data / "runs" / answer["run_id"]).glob("level-*.parquet")}
    assert {f"level-{n:04}.parquet" for n in measured} <= samples


@pytest.mark.measures_time
@pytest.mark.nightly
def test_the_search_can_be_queried(answer: Any, data: Path, here: InProcess) -> None:
    (row,) = here.run("query", "FROM searches", "--data", str(data), "--json").json
    assert (row["greatest_concurrency"], row["limited_by"]) == (answer["greatest_concurrency"], SLO)


@pytest.mark.nightly
def test_a_level_in_doubt_is_measured_once_more_for_longer_and_both_are_kept(here: InProcess, tmp_path: Path) -> None:
    """Of requests of which every fiftieth is refused, nobody knows from a hundred whether it is more than that."""
    with server("refused=0.02") as url:
        done = search(
            here,
            url,
            tmp_path,
            "--slo",
            "error_rate <= 2%",
            "--min-level",
            "8",
            "--max-level",
            "8",
            "--requests",
            "100",
        )
    assert done.code == 0, done.stderr
    (level,) = done.json["levels"]
    assert level["planned_requests"] == 400
    folder = tmp_path / "runs" / done.json["run_id"]
    prompts = [pq.read_table(folder / f"level-0008{which}.parquet")["planned_input_tokens"] for which in ("", ".first")]
    assert [len(p) for p in prompts] == [400 + 16, 100 + 16]  # two of each stream come first, to warm up


@pytest.mark.measures_time
@pytest.mark.nightly
def test_a_search_that_was_broken_off_goes_on(shell: Shell, here: InProcess, tmp_path: Path) -> None:
    with server() as url:
        started = ("capacity", "--url", url, "--model", MODEL, "--data", str(tmp_path), *SHORT)
        process = shell.start(*started, "--slo", SLO, "--min-level", "12", "--max-level", "28", "--duration", "2")
        wait_for_the_second_level(process, tmp_path)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
        (run_id,) = (folder.name for folder in (tmp_path / "runs").iterdir())
        done = here.run("resume", run_id, "--data", str(tmp_path), "--json")
    assert done.code == 0, done.stderr
    (row,) = here.run("query", "FROM searches", "--data", str(tmp_path), "--json").json
    assert row["greatest_concurrency"] == pytest.approx(LIMIT, abs=1)
    assert done.json["resumes"] == 1


def wait_for_the_second_level(process: Any, data: Path) -> None:
    while len(levels_named(data)) < 2 or not [*data.glob("runs/*/level-*.arrow")]:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def levels_named(data: Path) -> list[int]:
    """Those that run.json names as measured, or in hand."""
    files = [*data.glob("runs/*/run.json")]
    content = json.loads(files[0].read_text(encoding="utf-8")) if files else None
    return content["run"]["spec"]["load"]["levels"] if content and content["levels"] else []


@pytest.mark.measures_time
@pytest.mark.nightly
def test_a_run_stops_climbing_where_queries_get_too_slow(here: InProcess, tmp_path: Path) -> None:
    spec = {"levels": [4, 32, 40, 48], "requests": 60, "stop_below_query_tokens_per_s": 15, "calibrate": False}
    with server() as url:
        content = {"endpoint": {"url": url, "model": MODEL}, "load": spec, "data": str(tmp_path / "data")}
        content["workload"] = {"input_tokens": 40, "output_tokens": 10}
        (tmp_path / "spec.yaml").write_text(json.dumps(content), encoding="utf-8")
        done = here.run("run", str(tmp_path / "spec.yaml"), "--slo", "error_rate <= 1%", "--json")
    assert done.code == 0, done.stderr
    assert [level["concurrency"] for level in done.json["levels"]] == [4, 32]
    assert any("With 40 and 48 concurrent users, nothing was measured" in said for said in done.json["sentences"])
    assert {row["slo"] for row in done.json["slos"]} >= {"error_rate <= 0.01", "ttft_s p95 <= 0.5"}
    rows = here.run("query", "SELECT levels_not_reached FROM runs", "--data", str(tmp_path / "data"), "--json").json
    assert rows == [{"levels_not_reached": [40, 48]}]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--slo", "ttft p95 <= 1"], "limits.slo.0: there is no metric 'ttft p95'"),
        (["--min-level", "9", "--max-level", "3"], "search: min_level 9 is above max_level 3"),
        (["--min-level", "0"], "--min-level"),
        (["--workload", "article"], "workload.preset: there is no such preset"),
    ],
)
def test_wrong_usage_ends_with_code_2_and_says_why(arguments: list[str], complaint: str, here: InProcess) -> None:
    done = here.run("capacity", "--url", "http://h", "--model", "m", *arguments)
    assert (done.code, complaint in done.stderr, done.stdout) == (2, True, ""), done.stderr


def test_the_workloads_are_listed(here: InProcess) -> None:
    listed = {preset["name"]: preset for preset in here.run("workloads", "--json").json}
    assert listed["oci-rag"]["workload"] == {"input_tokens": {"mean": 2000}, "output_tokens": {"mean": 200}}
    assert "N(2000, 200) tokens in, N(100, 10) out" in here.run("workloads").stdout
