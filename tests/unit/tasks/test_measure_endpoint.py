"""A run in a process of its own: its progress events are passed on, and its end is an event or what its log says."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from cli.json_schemas import progress_text
from shapebench.runs.progress_events import EVENTS, FinishedEvent, ProgressEvent
from shapebench.spec.model import Endpoint, Spec
from shapebench.support.child_processes import stopped_on_error
from tasks.measure_endpoint import EndpointFailedError, run_in_process

SPEC = Spec(endpoint=Endpoint(url="http://127.0.0.1:9", model="m", shape="A10"))
SCHEMA = Path(__file__).parents[3] / "docs" / "schemas" / "progress-events.schema.json"

BEGINS = """
import json, sys
spec = json.load(sys.stdin)
print(json.dumps({"event": "progress", "stage": "begin", "message": spec["endpoint"]["model"], "fields": {"n": 1}}))
print("a line for people", file=sys.stderr)
"""
FINISHED = {"event": "finished", "run_id": "r", "verdict": "valid", "complaint": None}


def says(event: dict[str, object]) -> str:
    return f"print({json.dumps(event)!r})\n"


def run(script: str, events: list[ProgressEvent] | None = None) -> FinishedEvent:
    return run_in_process(SPEC, [sys.executable, "-c", script], [].append if events is None else events.append)


@pytest.mark.slow
def test_progress_is_passed_on_and_the_end_returned() -> None:
    events: list[ProgressEvent] = []
    assert run(BEGINS + says(FINISHED), events) == FinishedEvent(run_id="r", verdict="valid")
    assert events == [ProgressEvent(stage="begin", message="m", fields={"n": 1})]


@pytest.mark.slow
def test_a_complaint_about_a_stored_run_names_the_endpoint() -> None:
    finished = run(BEGINS + says({**FINISHED, "complaint": "Not published"}))
    assert finished.complaint == "A10 at http://127.0.0.1:9 is ranked, but: Not published"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        (says({"event": "failed", "problem": "no", "remedy": "yes"}), "no\n  What to do: yes"),
        ("sys.exit('Traceback')", "a line for people\nTraceback"),
        ("", "a line for people"),
    ],
)
def test_a_run_without_results_fails_with_its_reason(rest: str, reason: str) -> None:
    with pytest.raises(EndpointFailedError) as failure:
        run(BEGINS + rest)
    assert failure.value.problem == f"A10 at http://127.0.0.1:9 could not be measured: {reason}"


@pytest.mark.slow
def test_after_a_stop_none_is_begun() -> None:
    with stopped_on_error() as children:
        children.stop()
        with pytest.raises(EndpointFailedError):
            run("import time; time.sleep(5)\n" + says(FINISHED))


@pytest.mark.parametrize("names", [("event",), ("event", "run_id")])
def test_an_event_of_another_form_is_refused(names: Sequence[str]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        EVENTS.validate_python({name: FINISHED[name] for name in names})


def test_the_schema_in_the_docs_is_that_of_the_events() -> None:
    """Where it is not: `make docs`."""
    assert SCHEMA.read_text(encoding="utf-8") == progress_text()
