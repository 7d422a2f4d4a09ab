"""Each API of each real server is measured, and the results say how its tokens are known: one table, few requests."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Finished
from tests.in_process import InProcess
from tests.live.conftest import Running

pytestmark = [pytest.mark.nightly, pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(600)]
REQUESTS, INPUT_TOKENS, OUTPUT_TOKENS = 8, 200, 12


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
