"""prefect.yaml against a real Prefect server, with a process worker."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from shapebench.results.database import query
from shapebench.test_servers.simulator.process import running_simulator
from tests.conftest import MODEL, BroughtUp, ended
from tests.flow_runs import spec

pytestmark = [pytest.mark.slow, pytest.mark.nightly]


@pytest.fixture(scope="module")
def deployments(brought_up: BroughtUp) -> dict[str, Any]:
    """What the server has after `prefect deploy --all`, by name."""
    return {d["name"]: d for d in httpx.post(f"{brought_up.api}/deployments/filter", json={}).json()}


def test_all_deployments_of_prefect_yaml_are_there(deployments: dict[str, Any]) -> None:
    assert set(deployments) == {"nightly", "ad-hoc", "capacity", "shapes", "comparison", "republish", "watch"}


def test_the_nightly_one_has_a_schedule(deployments: dict[str, Any]) -> None:
    assert [s["schedule"]["cron"] for s in deployments["nightly"]["schedules"]] == ["0 2 * * *"]


FORMS = ("ad-hoc", "shapes", "comparison", "republish", "watch")


@pytest.mark.parametrize("needed", ["title", "description"])
@pytest.mark.parametrize("form", FORMS)
def test_every_field_of_the_form_is_explained(deployments: dict[str, Any], form: str, needed: str) -> None:
    schema = deployments[form]["parameter_openapi_schema"]
    parts = {"": schema, **schema.get("definitions", {})}
    fields = {f"{part}.{name}": field for part in parts for name, field in parts[part].get("properties", {}).items()}
    assert [name for name, field in fields.items() if not explained(field, parts, needed)] == []


@pytest.mark.parametrize("form", FORMS)
def test_no_parameter_is_a_choice_between_types(deployments: dict[str, Any], form: str) -> None:
    parameters = deployments[form]["parameter_openapi_schema"]["properties"]
    assert [name for name, field in parameters.items() if "anyOf" in field] == []


def explained(field: dict[str, Any], parts: dict[str, Any], needed: str) -> bool:
    """Has the field what is needed, or the group that it is?"""
    forms = (field, *field.get("allOf", ()), *field.get("anyOf", ()))
    groups = [parts[form["$ref"].rpartition("/")[2]] for form in forms if "$ref" in form]
    return any(form.get(needed) for form in (field, *groups))


def test_the_greatest_number_of_users_is_searched_for(
    deployments: dict[str, Any], brought_up: BroughtUp, simulator: str, tmp_path: Path
) -> None:
    given = deployments["capacity"]["parameters"]["spec"]
    assert given["search"] == {"min_level": 1, "max_level": 1024}
    state = ended(brought_up.start("capacity", {"spec": {**given, **SEARCH, **to_measure(simulator, tmp_path)}}))
    assert (state["type"], "Suits at least 2 concurrent users" in state["message"]) == ("COMPLETED", True), state
    [found] = query(tmp_path, "SELECT min_level, max_level, greatest_concurrency FROM searches").to_pylist()
    assert found == {"min_level": 1, "max_level": 2, "greatest_concurrency": 2}


SEARCH = {"search": {"min_level": 1, "max_level": 2}}


def to_measure(url: str, data: Path) -> dict[str, Any]:
    return {**spec(url, data, [1]), "limits": {"query_tokens_per_s": 1, "ttft_s": 60}}


@pytest.fixture(scope="module")
def chosen(
    deployments: dict[str, Any], brought_up: BroughtUp, simulator: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Path]:
    """How a choice between two endpoints ended, and its data folder."""
    data = tmp_path_factory.mktemp("choice")
    with running_simulator("fast") as other:
        measured = to_measure(simulator, data)
        endpoints = [{**measured.pop("endpoint"), "shape": "A"}, {"url": other, "model": MODEL, "shape": "B"}]
        prices = {"prices": {"A": 1, "B": 1000}}
        content = {**deployments["shapes"]["parameters"]["choice"], **measured, **prices, "endpoints": endpoints}
        return ended(brought_up.start("shapes", {"choice": content}), at_most_s=240), data


def test_machines_are_measured_and_ranked(chosen: tuple[dict[str, Any], Path]) -> None:
    state, data = chosen
    headline, _, page = state["message"].partition(" Page: ")
    assert (state["type"], "A is the cheapest" in headline, Path(page).exists()) == ("COMPLETED", True, True), state
    assert {row["shape"] for row in query(data, "SELECT shape FROM runs").to_pylist()} == {"A", "B"}


def test_stored_runs_are_put_side_by_side(chosen: tuple[dict[str, Any], Path], brought_up: BroughtUp) -> None:
    data = chosen[1]
    runs = [row["run_id"] for row in query(data, "SELECT run_id FROM runs").to_pylist()]
    state = ended(brought_up.start("comparison", {"runs": runs, "data": str(data), "view": "shapes", "users": 4}))
    assert (state["type"], "Page: " in state["message"]) == ("COMPLETED", True), state


def test_the_ranking_is_shown_in_the_ui(chosen: tuple[dict[str, Any], Path], brought_up: BroughtUp) -> None:
    headline = chosen[0]["message"].partition(". Page: ")[0]
    wanted = {"artifacts": {"key": {"any_": ["comparison-shapes"]}}, "sort": "CREATED_DESC"}
    [*_, first] = httpx.post(f"{brought_up.api}/artifacts/filter", json=wanted).json()
    assert first["description"] == headline
    assert "| A | 1 |" in first["data"]


def test_a_wrong_parameter_is_refused_by_name(deployments: dict[str, Any], brought_up: BroughtUp) -> None:
    wrong = {"endpoint": {"url": "http://127.0.0.1:1", "model": MODEL}, "load": {"levels": ["many"]}}
    address = f"{brought_up.api}/deployments/{deployments['ad-hoc']['id']}/create_flow_run"
    refused = httpx.post(address, json={"parameters": {"spec": wrong}})
    assert refused.status_code == 409
    assert "levels" in refused.text
