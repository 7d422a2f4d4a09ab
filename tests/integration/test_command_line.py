"""The commands beside `run`, as scripts rely on them."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cli.local_prefect.own_server import free_port
from shapebench.analysis.measured_level import summarise_level
from shapebench.results import database
from shapebench.spec.metric_definitions import DISTRIBUTIONS, STATS
from shapebench.test_servers.reference.process import running_reference_server
from tests.conftest import MODEL, Finished, Shell
from tests.in_process import InProcess
from tests.level_sample import RUN_ID, level, run_tables
from tests.route_server import serving, table
from tests.stored_run import store_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Commands that need no Prefect server."""
    return Shell({"PREFECT_HOME": str(tmp_path_factory.mktemp("prefect")), "PREFECT_API_URL": ""})


@pytest.fixture(scope="session")
def here(offline: Shell) -> InProcess:
    """The same commands, in this process."""
    return InProcess(offline.environment)


@pytest.fixture(scope="module")
def measured(offline: Shell, simulator: str) -> Finished:
    level = ("--concurrency", "4", "--requests", "40")
    return offline.run("measure", "--url", simulator, "--model", MODEL, *level, "--json")


@pytest.fixture(scope="module")
def unusable_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a run whose only level has no samples."""
    folder = tmp_path_factory.mktemp("data")
    database.load(folder, RUN_ID, run_tables(folder, levels=[summarise_level(level(folder, 1, None))]))
    return folder


def test_measure_prints_one_json_object(measured: Finished) -> None:
    assert isinstance(measured.json, dict), measured.stderr


def test_measure_counts_its_requests(measured: Finished) -> None:
    assert (measured.json["concurrency"], measured.json["completed"], measured.json["failed"]) == (4, 40, 0)


@pytest.mark.parametrize("name", [metric.name for metric in DISTRIBUTIONS if metric.name != "reasoning_tokens"])
def test_measure_gives_every_stat_of_every_metric(measured: Finished, name: str) -> None:
    assert list(measured.json[name]) == list(STATS)
    assert None not in measured.json[name].values()


def test_measure_gives_no_reasoning_tokens_where_nothing_is_reasoned(measured: Finished) -> None:
    assert set(measured.json["reasoning_tokens"].values()) == {None}


@pytest.mark.parametrize("name", ["system_tokens_per_s", "steady_tokens_per_s", "requests_per_min"])
def test_measure_gives_totals_as_numbers(measured: Finished, name: str) -> None:
    assert measured.json[name] > 0


def test_measure_says_whose_clock_it_read(measured: Finished) -> None:
    assert measured.json["timestamps"] in ("kernel", "user")


def test_measure_names_the_percentiles_that_so_few_requests_do_not_carry(measured: Finished) -> None:
    withheld = measured.json["withheld"]
    assert ("ttft_s_p95" in withheld, "ttft_s_p75" in withheld) == (True, False)  # of 40 requests


def test_measure_shows_people_a_table(here: InProcess, simulator: str) -> None:
    level = ("--concurrency", "1", "--requests", "2")
    shown = here.run("measure", "--url", simulator, "--model", MODEL, *level)
    assert "ttft_s" in shown.stdout


def test_measure_keeps_raw_samples_where_told(here: InProcess, simulator: str, tmp_path: Path) -> None:
    level = ("--concurrency", "1", "--requests", "2")
    here.run("measure", "--url", simulator, "--model", MODEL, *level, "--samples", str(tmp_path), "--json")
    assert [file.name for file in tmp_path.rglob("level-*.parquet")] == ["level-0001.parquet"]


def measure(here: InProcess, url: str, *arguments: str) -> Finished:
    """Without a look at the client itself."""
    return here.run("measure", "--url", url, "--model", MODEL, "--no-calibrate", "--json", *arguments)


SHORT = ("--input-tokens", "40", "--output-tokens", "5")


def test_measure_says_how_the_client_fared_when_it_was_tried_out(measured: Finished) -> None:
    calibration = measured.json["calibration"]
    assert (calibration["concurrency"], calibration["processes"], calibration["error"]) == (4, 1, None)
    assert calibration["added_ttft_mean_s"] > 0
    assert calibration["capacity_tokens_per_s"] > 0


def test_a_trial_that_was_turned_off_is_not_in_the_result(here: InProcess, simulator: str) -> None:
    assert measure(here, simulator, "--concurrency", "1", "--requests", "2").json["calibration"] is None


def test_without_a_number_of_requests_measure_sends_thirty_for_each_stream(here: InProcess, simulator: str) -> None:
    assert measure(here, simulator, "--concurrency", "4", *SHORT).json["completed"] == 120


def test_measure_ends_when_its_duration_is_over(here: InProcess, simulator: str) -> None:
    done = measure(here, simulator, "--concurrency", "2", "--duration", "2", *SHORT)
    assert (done.code, done.json["failed"]) == (0, 0), done.stderr
    assert done.json["wall_s"] >= 2
    assert done.json["completed"] > 60


def test_measure_ends_with_the_requests_where_these_come_first(here: InProcess, simulator: str) -> None:
    done = measure(here, simulator, "--concurrency", "2", "--duration", "3600", "--requests", "9", *SHORT)
    assert (done.code, done.json["completed"]) == (0, 9), done.stderr


def test_measure_runs_in_as_many_processes_as_it_is_told(here: InProcess, simulator: str) -> None:
    done = measure(here, simulator, "--concurrency", "3", "--requests", "30", "--processes", "2", *SHORT)
    assert (done.json["client"]["processes"], done.json["completed"]) == (2, 30)


def test_measure_runs_in_no_more_processes_than_it_has_streams(here: InProcess, simulator: str) -> None:
    done = measure(here, simulator, "--concurrency", "2", "--requests", "4", "--processes", "3", *SHORT)
    assert (done.json["client"]["processes"], done.json["completed"]) == (2, 4)


def test_measure_is_as_precise_as_was_asked_or_as_its_requests_allow(here: InProcess, simulator: str) -> None:
    done = measure(here, simulator, "--concurrency", "1", "--requests", "5", "--until-precise", "2%", *SHORT)
    assert (done.code, done.json["completed"]) == (0, 5), done.stderr


def test_an_answer_that_stalls_has_failed(here: InProcess) -> None:
    with running_reference_server(ttft_s=0.01, gap_s=2.0) as url:
        stall = ("--stall-timeout", "0.2", "--input-tokens", "40", "--output-tokens", "3")
        level = ("--concurrency", "2", "--requests", "2")
        done = here.run("measure", "--url", url, "--model", "metronome", "--no-calibrate", *level, *stall, "--json")
    assert (done.code, done.json["errors"]) == (1, {"stall": 2}), done.stderr


@pytest.fixture(scope="module")
def broken_off(
    offline: Shell, simulator: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple["subprocess.Popen[str]", str, Path]:
    """A level that got a Ctrl-C when it had written samples: the process, its stderr and the folder of samples."""
    folder = tmp_path_factory.mktemp("broken-off")
    level = ("--concurrency", "4", "--duration", "3600", "--processes", "2", "--no-calibrate", *SHORT)
    process = offline.start("measure", "--url", simulator, "--model", MODEL, *level, "--samples", str(folder))
    while sum(file.stat().st_size > 100_000 for file in folder.rglob("*.arrow")) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    begun_s = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # to the whole group, as a terminal does it
    _, stderr = process.communicate(timeout=30)
    assert time.monotonic() - begun_s < 10
    return process, stderr, folder


def test_a_level_that_is_broken_off_ends_without_a_traceback(
    broken_off: tuple["subprocess.Popen[str]", str, Path],
) -> None:
    process, stderr, _ = broken_off
    assert (process.returncode, "Traceback" in stderr, "Stopped" in stderr) == (1, False, True), stderr


def test_a_level_that_is_broken_off_keeps_its_samples_in_one_file(
    broken_off: tuple["subprocess.Popen[str]", str, Path],
) -> None:
    _, _, folder = broken_off
    [file] = (file for file in folder.rglob("*") if file.is_file())
    assert {stream % 2 for stream in pq.read_table(file)["stream"].to_pylist()} == {0, 1}


def test_measure_fails_where_no_request_completes(here: InProcess, simulator: str) -> None:
    level = ("--concurrency", "1", "--requests", "2", "--input-tokens", "40", "--output-tokens", "4000")
    done = here.run("measure", "--url", simulator, "--model", MODEL, *level, "--request-timeout", "0.01", "--json")
    assert (done.code, done.json["completed"], done.json["errors"]) == (1, 0, {"timeout": 2})


def test_exact_numbers_of_sql_are_numbers_in_json(here: InProcess, unusable_run: Path) -> None:
    rows = here.run(
        "query", "SELECT sum(completed) AS total, 0.5 AS half FROM level_summary", "--data", str(unusable_run), "--json"
    )
    assert rows.json == [{"total": 0, "half": 0.5}]


def test_columns_of_one_name_are_refused(here: InProcess, unusable_run: Path) -> None:
    done = here.run("query", "SELECT 1 AS a, 2 AS a", "--data", str(unusable_run))
    assert (done.code, "Rename them with AS" in done.stderr) == (1, True)


def test_measure_fails_with_the_reason_where_nothing_listens(here: InProcess) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = here.run(
        "measure", "--url", url, "--model", "m", "--concurrency", "1", "--requests", "1", "--ready-timeout", "0.5"
    )
    assert (done.code, done.stdout) == (1, "")
    assert "No connection" in done.stderr


LEVEL = ["measure", "--concurrency", "1", "--url", "http://h", "--model", "m"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["measure", "--requests", "1"], "Missing option '--concurrency'"),
        ([*LEVEL, "--until-precise", "soon"], "load.until_precise: Input should be a valid number"),
        ([*LEVEL, "--until-precise", "2"], "load.until_precise: Input should be less than or equal to 0.5"),
        ([*LEVEL, "--duration", "0"], "'--duration': 0.0 is not in the range 0<x<=604800"),
        ([*LEVEL, "--duration", "soon"], "'--duration'"),
        ([*LEVEL, "--processes", "0"], "'--processes'"),
        ([*LEVEL, "--stall-timeout", "-1"], "'--stall-timeout'"),
        ([*LEVEL, "--requests", "0"], "'--requests'"),
        (
            ["measure", "--concurrency", "8", "--requests", "4", "--url", "http://h", "--model", "m"],
            "at least 8 requests",
        ),
        (["run", "--levels", "1,x", "--url", "http://h", "--model", "m"], "load.levels.1"),
        (["run"], "endpoint.url: needed, but not given"),
        (["run", "nowhere.yaml"], "Use a YAML file that exists"),
        (["simulate", "--preset", "z80"], "'z80' is not one of"),
        (["dance"], "No such command 'dance'"),
    ],
)
def test_wrong_usage_ends_with_code_2_and_says_why(here: InProcess, arguments: list[str], complaint: str) -> None:
    done = here.run(*arguments)
    assert (done.code, complaint in done.stderr, done.stdout) == (2, True, ""), done.stderr


def test_an_unknown_run_is_answered_with_what_to_do(here: InProcess, tmp_path: Path) -> None:
    done = here.run("publish", "20200101T000000-000000", "--data", str(tmp_path))
    assert done.code == 1
    assert "There is no run 20200101T000000-000000" in done.stderr


def test_help_names_every_command(offline: Shell) -> None:
    shown = offline.run("--help").stdout
    commands = ["run", "measure", "simulate", "report", "publish", "runs", "query", "doctor"]
    assert [command for command in commands if f"\n  {command} " not in shown] == []


def test_the_simulator_serves_until_stopped(offline: Shell) -> None:
    process = offline.start("simulate", "--preset", "fast", "--port", "0")
    assert process.stdout
    assert process.stdout.readline().startswith("Simulator ready on http://127.0.0.1:")
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 0


def checks(done: Finished) -> dict[str, Any]:
    return {check["name"]: check for check in done.json}


def test_doctor_finds_nothing_wrong_with_a_good_set_up(offline: Shell, simulator: str, tmp_path: Path) -> None:
    done = offline.run("doctor", "--url", simulator, "--model", MODEL, "--data", str(tmp_path), "--json")
    assert (done.code, [c["name"] for c in done.json if c["ok"] is False]) == (0, []), done.stdout


def test_doctor_names_a_model_that_is_not_served(offline: Shell, simulator: str, tmp_path: Path) -> None:
    done = offline.run("doctor", "--url", simulator, "--model", "gpt-x", "--data", str(tmp_path), "--json")
    assert done.code == 1
    assert MODEL in checks(done)["Requests"]["remedy"]


def test_doctor_does_not_call_healthy_what_has_no_health(offline: Shell, tmp_path: Path) -> None:
    with serving(table({})) as server:
        done = offline.run("doctor", "--url", server.url, "--model", "m", "--data", str(tmp_path), "--json")
    assert "has no /health" in checks(done)["Endpoint"]["found"]


def test_doctor_notices_an_endpoint_that_is_down(offline: Shell, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = offline.run("doctor", "--url", url, "--model", "m", "--data", str(tmp_path), "--json")
    assert checks(done)["Endpoint"]["ok"] is False


def test_doctor_notices_a_prefect_api_that_is_down(tmp_path: Path) -> None:
    shell = Shell({"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api", "PREFECT_HOME": str(tmp_path)})
    assert "PREFECT_API_URL" in checks(shell.run("doctor", "--data", str(tmp_path), "--json"))["Prefect API"]["remedy"]


def test_doctor_notices_a_data_folder_that_cannot_be(offline: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = offline.run("doctor", "--data", str(tmp_path / "file" / "data"), "--json")
    assert checks(done)["Data folder"]["ok"] is False


def test_doctor_notices_a_database_that_is_none(offline: Shell, tmp_path: Path) -> None:
    (tmp_path / "results.duckdb").write_text("not a database, and long enough to be read as one" * 1000)
    assert checks(offline.run("doctor", "--data", str(tmp_path), "--json"))["Database"]["ok"] is False


def test_doctor_notices_an_oci_profile_that_is_missing(offline: Shell, simulator: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[OTHER]\nuser=x\n")
    oci = {"bucket": "b", "config_file": str(tmp_path / "config"), "profile": "BENCH"}
    spec = {"endpoint": {"url": simulator, "model": MODEL}, "publish": {"oci": oci}, "data": str(tmp_path)}
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))  # JSON is YAML
    check = checks(offline.run("doctor", str(tmp_path / "spec.yaml"), "--json"))["OCI config"]
    assert (check["ok"], "BENCH" in check["found"]) == (False, True)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one run of two levels."""
    data = tmp_path_factory.mktemp("results")
    store_run(data)
    return data


QUERY = "SELECT concurrency, completed, error FROM level_summary"


def test_an_answer_can_be_had_as_csv(here: InProcess, results: Path) -> None:
    printed = here.run("query", QUERY, "--data", str(results), "--format", "csv").stdout
    assert printed == "concurrency,completed,error\n1,5,\n2,10,\n"


def test_an_answer_can_be_had_as_markdown(here: InProcess, results: Path) -> None:
    printed = here.run("query", QUERY, "--data", str(results), "--format", "markdown").stdout
    assert printed.splitlines()[:3] == ["| concurrency | completed | error |", "| --- | --- | --- |", "| 1 | 5 |  |"]


def test_an_answer_can_be_had_as_json(here: InProcess, results: Path) -> None:
    rows = here.run("query", QUERY, "--data", str(results), "--format", "json").json
    assert rows[0] == {"concurrency": 1, "completed": 5, "error": None}


def test_a_format_that_there_is_not_is_refused_with_those_there_are(here: InProcess, results: Path) -> None:
    refused = here.run("query", QUERY, "--data", str(results), "--format", "xml")
    assert (refused.code, "table, csv, markdown, json" in refused.stderr) == (2, True)


def test_prune_says_how_many_rows_it_dropped(here: InProcess, tmp_path: Path) -> None:
    store_run(tmp_path)
    pruned = here.run("prune", "--older-than-days", "1", "--data", str(tmp_path), "--json")
    assert pruned.json["dropped_rows"] > 18  # the requests, and more


def test_doctor_sets_a_file_aside_that_is_of_no_use(offline: Shell, tmp_path: Path) -> None:
    (tmp_path / "results.duckdb").write_text("These are not the results that you are looking for.")
    offline.run("doctor", "--set-aside", "--data", str(tmp_path))
    assert [path.name.startswith("results.set-aside-") for path in tmp_path.glob("*.duckdb")] == [True]
