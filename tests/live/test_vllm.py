"""The main job against real vLLM on this machine's CPU."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Finished, Shell
from tests.live.conftest import Running, example

pytestmark = [pytest.mark.nightly, pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def spec(vllm: Running, folder: Path) -> dict[str, Any]:
    """Return the spec of `make demo-vllm`, shorter, for the server that runs."""
    endpoint = {**example()["endpoint"], "url": vllm.url, "launch": None}
    load = {"levels": [1, 4], "requests": 16, "warmup_requests_per_stream": 1}
    return {"endpoint": endpoint, "load": load, "data": str(folder / "data")}


@pytest.fixture(scope="module")
def finished(shell: Shell, spec: dict[str, Any], folder: Path) -> Finished:
    file = folder / "spec.yaml"
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")
    return shell.run("run", str(file), "--json", timeout_s=560)


@pytest.fixture(scope="module")
def result(finished: Finished) -> Any:
    assert finished.code == 0, finished.stderr
    return finished.json


def test_every_request_completes(result: Any) -> None:
    assert [(level["completed"], level["failed"]) for level in result["levels"]] == [(16, 0), (16, 0)]


def test_no_level_is_invalid(result: Any) -> None:
    assert {level["verdict"] for level in result["levels"]} <= {"valid", "suspect"}, result["findings"]


def rows(shell: Shell, spec: dict[str, Any], sql: str) -> Any:
    return shell.run("query", sql, "--data", spec["data"], "--json").json


def test_prompts_have_exactly_the_planned_lengths(shell: Shell, result: Any, spec: dict[str, Any]) -> None:
    assert result["run_id"]
    sql = "SELECT count(*) AS n FROM requests WHERE input_tokens != planned_input_tokens"
    assert rows(shell, spec, sql) == [{"n": 0}]


def test_answers_have_exactly_the_planned_lengths(shell: Shell, result: Any, spec: dict[str, Any]) -> None:
    assert result["run_id"]
    sql = "SELECT count(*) AS n FROM requests WHERE output_tokens != planned_output_tokens"
    assert rows(shell, spec, sql) == [{"n": 0}]


def test_the_version_of_vllm_is_on_record(shell: Shell, result: Any, spec: dict[str, Any]) -> None:
    assert result["run_id"]
    assert rows(shell, spec, "SELECT server, server_version FROM runs") == [
        {"server": "vllm", "server_version": "0.32.0"}
    ]


def test_the_servers_counters_agree_with_ours_to_the_token(shell: Shell, result: Any, spec: dict[str, Any]) -> None:
    assert result["run_id"]
    ours = "SELECT concurrency, sum(input_tokens)::INT AS i, sum(output_tokens)::INT AS o FROM requests GROUP BY ALL"
    theirs = """SELECT concurrency, max(value) FILTER (metric = 'prompt_tokens')::INT
                       - min(value) FILTER (metric = 'prompt_tokens')::INT AS i,
                   max(value) FILTER (metric = 'generation_tokens')::INT
                       - min(value) FILTER (metric = 'generation_tokens')::INT AS o
                FROM server_metrics GROUP BY ALL"""
    assert rows(shell, spec, f"({ours}) ORDER BY ALL") == rows(shell, spec, f"({theirs}) ORDER BY ALL")


def test_the_server_needs_no_longer_for_a_first_token_than_the_client_waits(
    shell: Shell, result: Any, spec: dict[str, Any]
) -> None:
    assert result["run_id"]
    waits = rows(shell, spec, "SELECT ttft_outside_server_s AS s FROM level_summary")
    assert all(0 < row["s"] < 0.1 for row in waits)


def test_the_example_s_launch_command_starts_it_and_its_log_is_kept(vllm: Running) -> None:
    assert "Application startup complete" in vllm.log.read_text(encoding="utf-8")
