"""What is tried again: of a probe what may pass, with growing pauses; of a measurement nothing."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect import State, flow

from shapebench.runs.resume import in_progress
from shapebench.spec.model import parse
from tasks.probe import probe
from tests.conftest import ROOT, Shell
from tests.in_process import FlowsInProcess
from tests.route_server import MODEL, MODELS, UNKNOWN_MODEL, Answers, Reply, healthy, serving, table

pytestmark = pytest.mark.slow

RETRIES = """
from flows.choose import choose
from tasks.measure import measure
from tasks.measure_endpoint import measure_endpoint
print(*(one.retries for one in (choose, measure_endpoint, measure)))
"""
CUT_SHORT: Reply = (200, MODELS, {"Content-Length": "99999"})


@flow(retries=0)
def probing(url: str, model: str, data: Path) -> None:
    endpoint = {"url": url, "model": model, "ready_timeout_s": 1}
    with in_progress(parse({"endpoint": endpoint, "data": data}), None, None) as begun:
        probe(begun.run, lambda: None)


Probed = Callable[..., State[None]]


@pytest.fixture
def probed(here: FlowsInProcess, tmp_path: Path) -> Probed:
    """How a flow ended that does nothing but probe."""

    def run(url: str, model: str = MODEL) -> State[None]:
        with here.surroundings():
            return probing(url, model, tmp_path, return_state=True)

    return run


def at_first(reply: Reply) -> Answers:
    """A healthy server whose first list of models is another."""
    asked = iter(range(100))

    def answers(route: str, content: Any) -> Reply:
        odd = route == "GET /v1/models" and next(asked) == 0
        return reply if odd else table(healthy())(route, content)

    return answers


def times_probed(asked: list[tuple[str, Any]]) -> int:
    return sum(route == "GET /health" for route, _ in asked)


def test_a_connection_that_breaks_once_is_tried_again(probed: Probed) -> None:
    with serving(at_first(CUT_SHORT)) as served:
        state = probed(served.url)
    assert (state.is_completed(), times_probed(served.asked)) == (True, 2), state


@pytest.mark.nightly
def test_a_wrong_model_is_not(probed: Probed) -> None:
    with serving(table(healthy(POST_v1__chat__completions=UNKNOWN_MODEL))) as served:
        state = probed(served.url, "gpt-x")
    assert (state.is_failed(), times_probed(served.asked)) == (True, 1)
    assert "does not serve 'gpt-x'" in str(state.message)


@pytest.mark.nightly
def test_a_server_that_was_waited_for_in_vain_is_not(probed: Probed) -> None:
    with serving(table(healthy(GET_health=(503, ""), POST_v1__chat__completions=(500, "")))) as served:
        state = probed(served.url)
    assert state.is_failed()
    assert times_probed(served.asked) < 10  # within one second, with growing pauses


@pytest.mark.nightly
def test_what_measures_is_never_tried_again_whatever_prefect_s_settings_say(shell: Shell) -> None:
    settings = {"PREFECT_TASKS_DEFAULT_RETRIES": "3", "PREFECT_FLOWS_DEFAULT_RETRIES": "3"}
    done = subprocess.run(
        [sys.executable, "-c", RETRIES],
        env={**shell.environment, **settings},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["0", "0", "0"]
