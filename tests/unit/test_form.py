"""The form that the Prefect UI makes of a spec, by the JSON schema that it gets."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from shapebench.spec import Spec

SCHEMA = Spec.model_json_schema()
LEAST = {"url": "http://h:8000", "model": "m"}


def inputs() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, part in {"Spec": SCHEMA, **SCHEMA["$defs"]}.items():
        yield from ((f"{name}.{field}", content) for field, content in part.get("properties", {}).items())


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
    with pytest.raises(jsonschema.ValidationError) as caught:
        jsonschema.validate({"endpoint": LEAST, **endpoint_or_section}, SCHEMA)
    return ".".join(map(str, caught.value.absolute_path))


REFUSED: dict[str, dict[str, Any]] = {
    "endpoint.url": {"endpoint": {**LEAST, "url": "h:8000"}},
    "endpoint.api": {"endpoint": {**LEAST, "api": "both"}},
    "endpoint.api_key_block": {"endpoint": {**LEAST, "api_key_block": "Our Key"}},
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
    jsonschema.validate({"endpoint": LEAST}, SCHEMA)
