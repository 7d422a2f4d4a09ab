"""The main job against real vLLM on this machine's CPU; then each API of each real server, with few requests.

All in one file, so that each server is started once.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Finished, Shell
from tests.in_process import InProcess
from tests.live.conftest import Running, example

pytestmark = [pytest.mark.nightly, pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(600)]
REQUESTS, INPUT_TOKENS, OUTPUT_TOKENS = 8, 200, 12


# The main job


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


def test_every_request_of_the_main_job_completes(result: Any) -> None:
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


# Each API of each server


@dataclass(frozen=True)
class Case:
    """What is known of a server's API: where counts come from, and whether lengths are exact."""

    server: str  # the fixture
    api: str
    token_source: str = "usage"
    exact_input: bool = False
    exact_output: bool = False
    output_tokens: int = OUTPUT_TOKENS

    def __str__(self) -> str:
        return f"{self.server}-{self.api}"


CASES = [
    Case("vllm", "chat", exact_input=True, exact_output=True),
    Case("vllm", "completions", exact_input=True, exact_output=True),
    Case("vllm", "responses", exact_input=True, exact_output=True),
    Case("vllm", "messages", exact_input=True),
    Case("litellm", "chat"),
    Case("litellm", "completions"),
    Case("litellm", "responses", output_tokens=16),  # it asks for no fewer
    Case("litellm", "messages"),
    Case("transformers", "chat"),
    Case("transformers", "completions"),
    Case("transformers", "responses"),
    Case("llama_cpp", "chat", token_source="tokenize"),
    Case("llama_cpp", "completions", token_source="tokenize"),
]


def measured(running: Running, api: str, folder: Path, *flags: str) -> Finished:
    shell = InProcess({**running.environment, "PREFECT_HOME": str(folder)})
    lengths = ("--input-tokens", f"{INPUT_TOKENS},0", "--output-tokens", f"{OUTPUT_TOKENS},0")
    load = ("--concurrency", "2", "--requests", str(REQUESTS), *lengths)
    return shell.run("measure", "--url", running.url, "--model", running.model, "--api", api, *load, *flags, "--json")


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def level(case: Case, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    done = measured(request.getfixturevalue(case.server), case.api, tmp_path_factory.mktemp("level"))
    assert done.code == 0, done.stderr
    return json.loads(done.stdout)


def test_every_request_completes_but_for_answers_without_any_token(level: Any) -> None:
    """The tiny model may end an answer at once; where this is not forbidden, the answer has no first token."""
    assert level["completed"] == REQUESTS - level["errors"].get("empty", 0) > REQUESTS / 2, level["errors"]


def test_the_results_say_where_the_counts_come_from(case: Case, level: Any) -> None:
    assert level["token_source"] == case.token_source
    assert level["token_counts"] in ("counted", "apportioned")


def test_answers_have_the_length_that_was_asked_for_or_end_before(case: Case, level: Any) -> None:
    lengths = level["output_tokens"]
    assert 0 < lengths["min"] <= lengths["max"] <= case.output_tokens
    assert lengths["min"] == case.output_tokens or not case.exact_output


def test_prompts_have_the_length_that_was_asked_for(case: Case, level: Any) -> None:
    lengths = level["input_tokens"]
    assert lengths["mean"] == pytest.approx(INPUT_TOKENS, rel=0.15)
    assert lengths["min"] == lengths["max"] == INPUT_TOKENS or not case.exact_input


def test_a_first_token_comes_before_the_last(level: Any) -> None:
    assert 0 < level["ttft_s"]["mean"] < level["e2e_s"]["mean"]


def test_behind_a_gateway_the_engine_s_own_metrics_are_read(vllm: Running, litellm: Running, tmp_path: Path) -> None:
    done = measured(litellm, "chat", tmp_path, "--metrics-url", f"{vllm.url}/metrics")
    assert 0 < done.json["server_ttft_s"] < done.json["ttft_s"]["mean"]
