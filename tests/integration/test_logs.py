"""What a run says: nothing, a few lines, or a line for each milestone; and no library says anything of its own."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import MODEL, Finished, Shell
from tests.in_process import InProcess

pytestmark = pytest.mark.slow

SHORT = ("--levels", "1,2", "--requests", "24", "--output-tokens", "20,2")
MILESTONES = {
    r"begin: run \S+ of .+ at http://\S+, concurrency 1, 2, 4": 1,
    r"probe: vllm \S+ answers, and serves .+": 1,
    r"calibrate: concurrency [124]: the client adds .+": 3,
    r"measure: concurrency [124]: begins": 3,
    r"measure: concurrency [124]: 24 completed, 0 failed, .+ tokens/s, .+ ms to the first token .+; took .+ s": 3,
    r"validate: (valid|suspect|invalid): \d+ of \d+ expectations failed": 1,
    r"store: run \S+ is in .+/results.duckdb": 1,
    r"report: the report is .+/index.html": 1,
    r"publish: \d+ files to file:///.+": 1,
    r"done: (valid|suspect|invalid): .+": 1,
}
NOISE = ("Calculating Metrics", "Warning:", "deprecat", "telemetry", "analytics", "Traceback", "posthog", "it/s]")


def start(shell: Shell, url: str, data: Path, *flags: str, model: str = MODEL) -> Finished:
    return shell.run("run", "--url", url, "--model", model, "--data", str(data), *SHORT, *flags)


@pytest.fixture(scope="module")
def verbose(finished: Finished) -> Finished:
    assert finished.code == 0, finished.stderr
    return finished


def counted(lines: list[str]) -> dict[str, int]:
    found = Counter(milestone for line in lines for milestone in MILESTONES if re.search(rf"{milestone}$", line))
    return dict(found)


def test_verbose_shows_each_milestone_once(verbose: Finished) -> None:
    assert counted(verbose.stderr.splitlines()) == MILESTONES


def test_verbose_shows_prefects_own_lines(verbose: Finished) -> None:
    assert "Finished in state Completed" in verbose.stderr


def test_verbose_leaves_stdout_to_the_result(verbose: Finished) -> None:
    assert verbose.json["run_id"]


def test_no_library_says_anything_of_its_own(verbose: Finished) -> None:
    assert [noise for noise in NOISE if noise.lower() in verbose.stderr.lower()] == []


def logs(prefect_server: str, headline: str) -> list[dict[str, Any]]:
    """The lines that the Prefect UI shows of the newest run that ended so."""
    newest = {"flows": {"name": {"any_": ["benchmark"]}}, "sort": "END_TIME_DESC"}
    runs = httpx.post(f"{prefect_server}/flow_runs/filter", json=newest).json()
    run = next(run for run in runs if headline in (run["state"]["message"] or ""))
    wanted = {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "sort": "TIMESTAMP_ASC"}
    lines: list[dict[str, Any]] = httpx.post(f"{prefect_server}/logs/filter", json=wanted).json()
    return lines


def test_prefect_shows_each_milestone_once(verbose: Finished, prefect_server: str) -> None:
    lines = logs(prefect_server, verbose.json["run_id"])
    assert counted([line["message"] for line in lines]) == MILESTONES


def test_prefect_knows_which_task_a_milestone_is_of(verbose: Finished, prefect_server: str) -> None:
    stages = {
        line["message"].partition(":")[0]: line["task_run_id"]
        for line in logs(prefect_server, verbose.json["run_id"])
        if line["name"].startswith("shapebench.") and counted([line["message"]])
    }
    assert None not in {task for stage, task in stages.items() if stage != "begin"}


@pytest.mark.nightly
def test_quiet_says_nothing_but_the_result(shell: Shell, simulator: str, tmp_path: Path) -> None:
    done = start(shell, simulator, tmp_path, "--quiet", "--json")
    assert (done.code, done.stderr) == (0, "")
    assert done.json["headline"].startswith("Suits")


@pytest.mark.nightly
def test_quiet_says_what_went_wrong(shell: Shell, simulator: str, tmp_path: Path) -> None:
    done = start(shell, simulator, tmp_path, "--quiet", model="gpt-x")
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert "does not serve 'gpt-x'" in done.stderr


@pytest.mark.nightly
def test_what_a_user_can_mend_is_no_traceback_in_prefect(
    here: InProcess, simulator: str, tmp_path: Path, prefect_server: str
) -> None:
    start(here, simulator, tmp_path, "--verbose", model="gpt-y")
    lines = logs(prefect_server, "gpt-y")
    assert any("gpt-y" in line["message"] for line in lines)
    assert [line["message"] for line in lines if "Traceback" in line["message"]] == []


@pytest.mark.nightly
def test_by_itself_a_run_says_only_what_it_waits_for_and_how_far_it_is(
    shell: Shell, simulator: str, tmp_path: Path
) -> None:
    done = start(shell, simulator, tmp_path)
    assert [noise for noise in NOISE if noise.lower() in done.stderr.lower()] == []
    stages = set(re.findall(r"^(?:\[.*?\])? +([a-z]+): ", done.stderr, re.MULTILINE))
    assert stages <= {"begin", "probe", "calibrate", "measure"}


@pytest.mark.nightly
def test_the_instrument_alone_is_quiet_too(shell: Shell, simulator: str) -> None:
    done = shell.run(
        "measure", "--url", simulator, "--model", MODEL, "--concurrency", "2", "--requests", "8", "--quiet", "--json"
    )
    assert (done.code, done.stderr, done.json["completed"]) == (0, "", 8)
