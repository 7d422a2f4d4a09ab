"""Each API of each real server is measured, or refused with a reason: one table, few requests."""

import json
from pathlib import Path
from typing import Any

import pytest

from shapebench.apis.table import APIS
from tests.conftest import Finished
from tests.in_process import InProcess
from tests.live.conftest import Running

pytestmark = [pytest.mark.nightly, pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(600)]
REQUESTS, OUTPUT_TOKENS = 8, 12

SERVERS = {  # by fixture: its APIs
    "vllm": ("chat", "completions", "responses", "messages"),
    "litellm": ("chat", "completions", "responses", "messages"),
    # "transformers": ("chat", "completions", "responses"),
    # "llama_cpp": ("chat", "completions"),
}
CASES = [(server, api) for server, apis in SERVERS.items() for api in apis if api in APIS]


def measured(running: Running, api: str, folder: Path, *flags: str) -> Finished:
    shell = InProcess({**running.environment, "PREFECT_HOME": str(folder)})
    load = ("--concurrency", "2", "--requests", str(REQUESTS), "--output-tokens", f"{OUTPUT_TOKENS},0")
    return shell.run("measure", "--url", running.url, "--model", running.model, "--api", api, *load, *flags, "--json")


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def level(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    server, api = request.param
    done = measured(request.getfixturevalue(server), api, tmp_path_factory.mktemp("level"))
    assert done.code == 0, done.stderr
    return json.loads(done.stdout)


def test_every_request_completes(level: Any) -> None:
    assert (level["completed"], level["failed"]) == (REQUESTS, 0), level["errors"]


def test_answers_have_no_more_tokens_than_were_asked_for(level: Any) -> None:
    assert 0 < level["output_tokens"]["mean"] <= OUTPUT_TOKENS


def test_a_first_token_comes_before_the_last(level: Any) -> None:
    assert 0 < level["ttft_s"]["mean"] < level["e2e_s"]["mean"]


def test_behind_a_gateway_the_engine_s_own_metrics_are_read(vllm: Running, litellm: Running, tmp_path: Path) -> None:
    done = measured(litellm, "chat", tmp_path, "--metrics-url", f"{vllm.url}/metrics")
    assert 0 < done.json["server_ttft_s"] < done.json["ttft_s"]["mean"]
