"""The main job, from the command line to the report, against a real Prefect server and the simulator."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import httpx
import psutil
import pyarrow.parquet as pq
import pytest
import yaml

from cli.local_prefect.own_server import free_port
from shapebench.runs.samples_file import join
from tests import oci_lookalike
from tests.conftest import MODEL, Finished, Shell
from tests.in_process import InProcess
from tests.integration.conftest import LEVELS, REQUESTS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def result(finished: Finished) -> Any:
    assert finished.code == 0, finished.stderr
    return finished.json


@pytest.fixture(scope="module")
def database(result: Any) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(result["database"], read_only=True)


def test_each_level_is_reported_in_order(result: Any) -> None:
    assert [level["concurrency"] for level in result["levels"]] == LEVELS


def test_every_planned_request_completes(result: Any) -> None:
    assert [level["completed"] for level in result["levels"]] == [REQUESTS] * len(LEVELS)


def test_the_run_has_a_verdict(result: Any) -> None:
    assert result["verdict"] in ("valid", "suspect", "invalid")


def test_prompts_have_the_lengths_that_were_planned(result: Any, database: duckdb.DuckDBPyConnection) -> None:
    assert result["run_id"]
    wrong = database.sql("SELECT count(*) FROM requests WHERE input_tokens != planned_input_tokens").fetchall()
    assert wrong == [(0,)]


def test_answers_have_the_lengths_that_were_planned(database: duckdb.DuckDBPyConnection) -> None:
    wrong = database.sql("SELECT count(*) FROM requests WHERE output_tokens != planned_output_tokens").fetchall()
    assert wrong == [(0,)]


def test_levels_never_overlap(database: duckdb.DuckDBPyConnection) -> None:
    overlapping = database.sql(
        """WITH spans AS (
               SELECT concurrency, min(sent_at) AS begun, max(sent_at + to_seconds(ended_s)) AS ended
               FROM requests GROUP BY concurrency)
           SELECT count(*) FROM spans AS a JOIN spans AS b ON a.concurrency < b.concurrency AND a.ended > b.begun"""
    ).fetchall()
    assert overlapping == [(0,)]


def test_raw_samples_hold_warm_up_and_measured_requests(result: Any, data: Path) -> None:
    samples = pq.read_table(data / "runs" / result["run_id"] / "level-0004.parquet").to_pandas()
    assert (len(samples[~samples["warmup"]]), len(samples[samples["warmup"]])) == (REQUESTS, 8)


def test_the_report_names_model_and_shape(result: Any) -> None:
    assert f"{MODEL} on VM.TEST.1" in Path(result["report"]).read_text(encoding="utf-8")


def test_great_expectations_pages_lie_beside_the_report_and_are_linked(result: Any) -> None:
    report = Path(result["report"])
    assert 'href="validation/index.html"' in report.read_text(encoding="utf-8")
    assert "Concurrency 4" in (report.parent / "validation" / "index.html").read_text(encoding="utf-8")


def test_great_expectations_pages_are_published(result: Any, data: Path) -> None:
    assert (data / "published" / result["run_id"] / "validation" / "index.html").exists()


def test_the_servers_account_is_stored_second_by_second(result: Any, database: duckdb.DuckDBPyConnection) -> None:
    assert result["run_id"]
    counted = database.sql(
        """SELECT concurrency, max(value) - min(value) FROM server_metrics
           WHERE metric = 'generation_tokens' GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    answered = database.sql("SELECT concurrency, sum(output_tokens) FROM requests GROUP BY ALL ORDER BY ALL").fetchall()
    assert counted == answered


def test_pictures_lie_beside_the_report(result: Any) -> None:
    suffixes = {path.suffix for path in Path(result["report"]).parent.iterdir()}
    assert {".html", ".png", ".svg"} <= suffixes


def test_the_report_is_published_to_a_folder(result: Any, data: Path) -> None:
    assert (data / "published" / result["run_id"] / "index.html").exists()


def test_published_files_are_on_record(result: Any, database: duckdb.DuckDBPyConnection) -> None:
    recorded = database.sql("SELECT count(*) FROM artifacts WHERE error IS NULL").fetchall()
    assert recorded == [(len(result["published"]),)]


def test_prefect_mapped_one_task_run_for_each_level(result: Any, prefect_server: str) -> None:
    assert result["run_id"]
    wanted = {"flows": {"name": {"any_": ["benchmark"]}}, "task_runs": {"name": {"like_": "measure-"}}}
    names = {run["name"] for run in httpx.post(f"{prefect_server}/task_runs/filter", json=wanted).json()}
    assert {f"measure-{n}" for n in LEVELS} <= names


def test_nothing_but_json_goes_to_stdout(finished: Finished) -> None:
    assert finished.stdout.startswith("{")
    assert finished.stdout.rstrip().endswith("}")


def test_the_report_can_be_drawn_again(here: InProcess, result: Any, data: Path) -> None:
    page = Path(result["report"])
    shutil.rmtree(page.parent)
    drawn = here.run("report", result["run_id"], "--data", str(data))
    assert (drawn.code, page.exists()) == (0, True), drawn.stderr
    assert (page.parent / "validation" / "index.html").exists()


def test_runs_lists_the_run(here: InProcess, result: Any, data: Path) -> None:
    assert [run["run_id"] for run in here.run("runs", "--data", str(data), "--json").json] == [result["run_id"]]


def test_a_view_can_be_queried_by_name(here: InProcess, result: Any, data: Path) -> None:
    rows = here.run("query", "level_summary", "--data", str(data), "--json").json
    assert [row["system_tokens_per_s"] for row in rows] == [row["system_tokens_per_s"] for row in result["levels"]]


def spec_file(tmp_path: Path, url: str, **changes: Any) -> Path:
    """A spec for a short run, without a trial of the client, in YAML."""
    content = {
        "endpoint": {"url": url, "model": MODEL},
        "workload": {"output_tokens": {"mean": 20, "stddev": 2}},
        "load": {"levels": [2], "requests": 8, "calibrate": False},
        "data": str(tmp_path / "data"),
    }
    for section, values in changes.items():
        content[section] = {**content.get(section, {}), **values} if isinstance(values, dict) else values
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


HOPELESS: dict[str, Any] = {
    "workload": {"output_tokens": {"mean": 3000, "stddev": 0}},
    "load": {"levels": [2], "requests": 8, "request_timeout_s": 0.01},
}


@pytest.fixture(scope="module")
def hopeless(here: InProcess, simulator: str, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run of one level, in which no answer is in time."""
    file = spec_file(tmp_path_factory.mktemp("hopeless"), simulator, **HOPELESS)
    return here.run("run", str(file), "--json")


@pytest.mark.nightly
def test_an_invalid_level_is_kept_and_marked(hopeless: Finished) -> None:
    found = hopeless.code, hopeless.json["verdict"], hopeless.json["levels"][0]["failed"]
    assert found == (0, "invalid", 8), hopeless.stderr


@pytest.mark.nightly
def test_the_flow_fails_on_an_invalid_level_where_told(here: InProcess, simulator: str, tmp_path: Path) -> None:
    done = here.run("run", str(spec_file(tmp_path, simulator, **HOPELESS)), "--on-invalid", "fail", "--json")
    assert (done.code, done.json["verdict"]) == (1, "invalid"), done.stderr


@pytest.mark.nightly
def test_a_failed_request_is_on_record_with_its_reason(here: InProcess, hopeless: Finished) -> None:
    # Answers to warm-up requests are of all lengths: one of them may be in time.
    query = "SELECT DISTINCT error_kind FROM requests WHERE NOT warmup"
    rows = here.run("query", query, "--data", str(Path(hopeless.json["database"]).parent), "--json")
    assert rows.json == [{"error_kind": "timeout"}]


def test_a_wrong_model_ends_the_run_with_the_right_name(here: InProcess, simulator: str, tmp_path: Path) -> None:
    done = here.run("run", str(spec_file(tmp_path, simulator)), "--model", "gpt-x")
    assert done.code == 1
    assert f"Set endpoint.model to one of the models that it serves: {MODEL}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_spec_with_faults_is_refused_with_all_of_them(here: InProcess, simulator: str, tmp_path: Path) -> None:
    done = here.run("run", str(spec_file(tmp_path, simulator, load={"levels": [0], "request": 1})))
    assert done.code == 2
    assert "load.levels.0" in done.stderr
    assert "load.request: there is no such field" in done.stderr


@pytest.mark.nightly
def test_a_server_that_the_spec_launches_is_stopped(here: InProcess, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    launch = f"{sys.executable} -m shapebench.test_servers.simulator --preset fast --port {url.rpartition(':')[2]}"
    done = here.run("run", str(spec_file(tmp_path, url, endpoint={"launch": launch})), "--json")
    assert (done.code, done.json["levels"][0]["completed"]) == (0, 8), done.stderr
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


@pytest.mark.nightly
def test_a_launched_servers_log_is_kept(here: InProcess, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    launch = "sh -c 'echo out of memory; exit 3'"
    done = here.run("run", str(spec_file(tmp_path, url, endpoint={"launch": launch})))
    assert done.code == 1
    assert "ended with code 3" in done.stderr
    assert [log.read_text() for log in tmp_path.glob("data/runs/*/server.log")] == ["out of memory\n"]


@pytest.mark.nightly
def test_two_runs_on_one_endpoint_take_turns(shell: Shell, simulator: str, tmp_path: Path) -> None:
    file = str(spec_file(tmp_path, simulator, load={"requests": 200}))
    both = [shell.start("run", file, "--json") for _ in range(2)]
    outputs = [process.communicate(timeout=200) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    spans = duckdb.connect(str(tmp_path / "data" / "results.duckdb"), read_only=True).sql(
        "SELECT min(sent_at), max(sent_at) FROM requests GROUP BY run_id ORDER BY 1"
    )
    (_, first_end), (second_begin, _) = spans.fetchall()
    assert first_end < second_begin


@pytest.mark.nightly
def test_a_failed_upload_loses_nothing(here: InProcess, simulator: str, tmp_path: Path) -> None:
    with oci_lookalike.running() as storage:
        file = spec_file(tmp_path, simulator, publish={"oci": oci_target(storage, tmp_path)})
        bucket = storage.buckets.pop("reports")
        done = here.run("run", str(file), "--json")
        assert (done.code, done.json["levels"][0]["completed"]) == (1, 8), done.stderr
        storage.buckets["reports"] = bucket
        again = here.run("publish", done.json["run_id"], "--data", str(tmp_path / "data"), "--json")
        assert again.code == 0, again.stderr
        assert f"shapebench/{done.json['run_id']}/index.html" in bucket


def oci_target(storage: oci_lookalike.ObjectStorage, tmp_path: Path) -> dict[str, str]:
    key = oci_lookalike.new_key()
    oci_lookalike.register(storage, key)
    config_file = oci_lookalike.write_config(tmp_path, key)
    return {"bucket": "reports", "service_endpoint": storage.endpoint, "config_file": str(config_file)}


ENDLESS = {"levels": [1, 2], "requests": 1_000_000}


@pytest.fixture
def long_run(alone: Shell, simulator: str, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A run in the middle of its first level, with a Prefect server of its own."""
    process = alone.start("run", str(spec_file(tmp_path, simulator, load=ENDLESS)))
    while not any(file.stat().st_size > 10_000 for file in tmp_path.glob("data/runs/*/level-0001.*.arrow")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    started = psutil.Process(process.pid).children(recursive=True)
    yield process
    _, still_there = psutil.wait_procs(started, timeout=20)
    assert still_there == [], "the run left processes behind"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Commands without a Prefect server."""
    return Shell({"PREFECT_HOME": str(tmp_path_factory.mktemp("prefect")), "PREFECT_API_URL": ""})


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 1), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.nightly)]
)
def test_a_run_that_is_told_to_stop_keeps_what_it_measured(
    long_run: "subprocess.Popen[str]", tmp_path: Path, number: int, code: int
) -> None:
    os.killpg(long_run.pid, number)  # to the whole group, as a terminal does it
    _, stderr = long_run.communicate(timeout=60)
    assert (long_run.returncode, "Traceback" in stderr) == (code, False), stderr
    [file] = tmp_path.glob("data/runs/*/level-*")
    assert (file.name, pq.read_metadata(file).num_rows > 0) == ("level-0001.parquet", True)


@pytest.mark.nightly
def test_a_killed_run_does_not_keep_the_next_one_waiting(
    long_run: "subprocess.Popen[str]", alone: Shell, simulator: str, tmp_path: Path
) -> None:
    long_run.kill()
    long_run.communicate()
    done = alone.run("run", str(spec_file(tmp_path, simulator)), "--json", timeout_s=90)
    assert (done.code, done.json["levels"][0]["completed"]) == (0, 8), done.stderr


@pytest.mark.nightly
def test_what_a_killed_run_measured_is_still_there(long_run: "subprocess.Popen[str]", tmp_path: Path) -> None:
    started = psutil.Process(long_run.pid).children(recursive=True)
    long_run.kill()
    long_run.communicate()
    psutil.wait_procs(started, timeout=20)
    assert join(tmp_path.glob("data/runs/*/level-0001.*.arrow"), tmp_path / "saved.parquet", {}) > 0


@pytest.mark.nightly
def test_levels_may_end_by_time_alone(here: InProcess, simulator: str, tmp_path: Path) -> None:
    file = spec_file(tmp_path, simulator, load={"levels": [1, 3], "requests": None, "duration_s": 1.0, "processes": 2})
    done = here.run("run", str(file), "--json")
    assert done.code == 0, done.stderr
    assert [level["planned_requests"] == level["completed"] > 0 for level in done.json["levels"]] == [True, True]


def test_what_the_client_found_out_of_itself_is_stored_with_each_level(
    result: Any, database: duckdb.DuckDBPyConnection
) -> None:
    assert result["run_id"]
    stored = database.sql("SELECT concurrency, client FROM raw.levels ORDER BY concurrency").fetchall()
    found = [(concurrency, json.loads(client)["calibration"]) for concurrency, client in stored]
    assert [calibration["concurrency"] for _, calibration in found] == LEVELS
    assert [calibration["error"] for _, calibration in found] == [None] * len(LEVELS)


@pytest.mark.nightly
def test_without_a_trial_of_the_client_none_is_stored(here: InProcess, simulator: str, tmp_path: Path) -> None:
    file = spec_file(tmp_path, simulator, load={"calibrate": True})
    done = here.run("run", str(file), "--no-calibrate", "--json")
    assert done.code == 0, done.stderr
    rows = here.run("query", "SELECT client FROM raw.levels", "--data", str(tmp_path / "data"), "--json").json
    assert [json.loads(row["client"])["calibration"] for row in rows] == [None]
