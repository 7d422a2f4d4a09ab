"""The forms that the Prefect UI makes of a spec and of a choice, by the JSON schemas that it gets."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from shapebench.spec.model import Spec
from shapebench.spec.multi_endpoint import Choice
from shapebench.spec.presets import presets

SCHEMA = Spec.model_json_schema()
CHOICE = Choice.model_json_schema()
MINIMAL = {"url": "http://h:8000", "model": "m"}
TWO = [{**MINIMAL, "shape": "A"}, {"url": "http://i:8000", "model": "m", "shape": "B"}]


def inputs() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, part in {"Spec": SCHEMA, "Choice": CHOICE, **SCHEMA["$defs"]}.items():
        yield from ((f"{name}.{field}", content) for field, content in part.get("properties", {}).items())


@pytest.mark.parametrize("part", CHOICE["$defs"])
def test_a_choice_asks_for_its_parts_as_a_spec_does(part: str) -> None:
    assert CHOICE["$defs"][part] == SCHEMA["$defs"][part]


@pytest.mark.parametrize("name", [name for name, _ in inputs()])
def test_an_input_has_a_title_and_help(name: str) -> None:
    content = dict(inputs())[name]
    group = SCHEMA["$defs"].get(content.get("$ref", "").rpartition("/")[2], {})
    said = {**group, **content}
    assert said["title"]
    assert len(said["description"]) > 10
    assert said["title"] != name.rpartition(".")[2]


def test_the_presets_are_there_to_choose_from() -> None:
    assert SCHEMA["$defs"]["Workload"]["properties"]["preset"]["enum"] == [*presets()]


@pytest.mark.parametrize("field", ["weights_bytes", "ca_file", "launch", "api_key_block"])
def test_what_may_be_left_empty_is_one_input_without_a_choice(field: str) -> None:
    content = SCHEMA["$defs"]["Endpoint"]["properties"][field]
    assert content["type"] in ("string", "number")
    assert not {"anyOf", "default"} & set(content)


@pytest.mark.parametrize("name", [name for name, content in inputs() if "default" in content])
def test_a_default_is_taken_by_its_own_field(name: str) -> None:
    """The UI sends the defaults with the rest: a null among those of a group would be refused."""
    content = dict(inputs())[name]
    jsonschema.validate(content["default"], {**content, "$defs": SCHEMA["$defs"]})


def refused(**endpoint_or_section: Any) -> str:
    return where_refused({"endpoint": MINIMAL, **endpoint_or_section}, SCHEMA)


def where_refused(content: dict[str, Any], schema: dict[str, Any]) -> str:
    with pytest.raises(jsonschema.ValidationError) as caught:
        jsonschema.validate(content, schema)
    return ".".join(map(str, caught.value.absolute_path))


REFUSED: dict[str, dict[str, Any]] = {
    "endpoint.url": {"endpoint": {**MINIMAL, "url": "h:8000"}},
    "endpoint.api": {"endpoint": {**MINIMAL, "api": "both"}},
    "endpoint.api_key_block": {"endpoint": {**MINIMAL, "api_key_block": "Our Key"}},
    "workload.preset": {"workload": {"preset": "article"}},
    "load.levels": {"load": {"levels": []}},
    "load.levels.1": {"load": {"levels": [1, 0]}},
    "load.request_timeout_s": {"load": {"request_timeout_s": 0}},
    "when_busy": {"when_busy": "push in"},
}


@pytest.mark.parametrize("field", REFUSED)
def test_the_form_refuses_a_wrong_value_at_its_field(field: str) -> None:
    assert refused(**REFUSED[field]) == field


def test_the_form_refuses_a_level_that_is_named_twice() -> None:
    assert refused(load={"levels": [1, 1]}) == "load.levels"


def test_the_least_spec_is_taken() -> None:
    jsonschema.validate({"endpoint": MINIMAL}, SCHEMA)


REFUSED_CHOICES: dict[str, dict[str, Any]] = {
    "endpoints": {"endpoints": TWO[:1]},
    "endpoints.1.url": {"endpoints": [TWO[0], {**TWO[1], "url": "i:8000"}]},
    "users": {"users": 0},
    "prices.A": {"prices": {"A": -1}},
    "load.levels": {"load": {"levels": []}},
}


@pytest.mark.parametrize("field", REFUSED_CHOICES)
def test_the_form_of_a_choice_refuses_a_wrong_value_at_its_field(field: str) -> None:
    assert where_refused({"endpoints": TWO, **REFUSED_CHOICES[field]}, CHOICE) == field


def test_the_least_choice_is_taken() -> None:
    jsonschema.validate({"endpoints": TWO}, CHOICE)
