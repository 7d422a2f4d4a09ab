"""prefect.yaml against a real Prefect server, with a process worker."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import MODEL, BroughtUp, ended
from tests.flow_runs import spec

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def deployments(brought_up: BroughtUp) -> dict[str, Any]:
    """What the server has after `prefect deploy --all`, by name."""
    return {d["name"]: d for d in httpx.post(f"{brought_up.api}/deployments/filter", json={}).json()}


def test_all_deployments_of_prefect_yaml_are_there(deployments: dict[str, Any]) -> None:
    assert set(deployments) == {"nightly", "ad-hoc", "comparison", "republish", "watch"}


def test_the_nightly_one_has_a_schedule(deployments: dict[str, Any]) -> None:
    assert [s["schedule"]["cron"] for s in deployments["nightly"]["schedules"]] == ["0 2 * * *"]


@pytest.mark.parametrize("needed", ["title", "description"])
def test_every_field_of_the_form_is_explained(deployments: dict[str, Any], needed: str) -> None:
    schema = deployments["ad-hoc"]["parameter_openapi_schema"]
    parts = {"": schema, **schema["definitions"]}
    fields = {f"{part}.{name}": field for part in parts for name, field in parts[part].get("properties", {}).items()}
    assert [name for name, field in fields.items() if not explained(field, parts, needed)] == []


def explained(field: dict[str, Any], parts: dict[str, Any], needed: str) -> bool:
    """Has the field what is needed, or the group that it is?"""
    forms = (field, *field.get("allOf", ()), *field.get("anyOf", ()))
    groups = [parts[form["$ref"].rpartition("/")[2]] for form in forms if "$ref" in form]
    return any(form.get(needed) for form in (field, *groups))


def test_a_worker_runs_the_flow(brought_up: BroughtUp, simulator: str, tmp_path: Path) -> None:
    state = ended(brought_up.start("ad-hoc", {"spec": spec(simulator, tmp_path, [1, 2])}))
    assert (state["type"], "Suits" in state["message"]) == ("COMPLETED", True), state
    assert (tmp_path / "results.duckdb").exists()


def test_a_wrong_parameter_is_refused_by_name(deployments: dict[str, Any], brought_up: BroughtUp) -> None:
    wrong = {"endpoint": {"url": "http://127.0.0.1:1", "model": MODEL}, "load": {"levels": ["many"]}}
    address = f"{brought_up.api}/deployments/{deployments['ad-hoc']['id']}/create_flow_run"
    refused = httpx.post(address, json={"parameters": {"spec": wrong}})
    assert refused.status_code == 409
    assert "levels" in refused.text
