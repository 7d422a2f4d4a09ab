"""What a spec adds to requests is checked before anything is sent."""

from typing import Any

import pytest

from shapebench.spec.model import Spec, SpecError, parse


def spec(workload: dict[str, Any] | None = None, **endpoint: Any) -> Spec:
    return parse({"endpoint": {"url": "http://h", "model": "m", **endpoint}, "workload": workload or {}})


def complaint(**changes: Any) -> str:
    with pytest.raises(SpecError) as raised:
        spec(**changes)
    return str(raised.value)


def test_headers_name_variables_or_blocks() -> None:
    headers = {"api-key": "AZURE_KEY", "x-team": "block:team"}
    assert spec(headers=headers).endpoint.headers == headers


def test_headers_are_a_list_on_the_command_line() -> None:
    assert spec(headers=["api-key=AZURE_KEY", "x-team=TEAM"]).endpoint.headers == {
        "api-key": "AZURE_KEY",
        "x-team": "TEAM",
    }


def test_a_value_in_place_of_a_variable_is_refused_and_not_repeated() -> None:
    said = complaint(headers={"api-key": "geheim-123!"})
    assert "needs the name of an environment variable" in said
    assert "geheim" not in said


def test_all_that_is_wrong_with_headers_is_said_at_once() -> None:
    said = complaint(headers={"Content-Length": "A", "a b": "B"})
    assert "Content-Length is set by shapebench itself" in said
    assert "'a b' is no name of a header" in said


def test_a_header_without_a_variable_is_refused() -> None:
    assert "NAME=VARIABLE" in complaint(headers=["api-key"])


@pytest.mark.parametrize("path", ["v3/chat", "/v3?x=1", "/v 3"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    assert "a path begins with /" in complaint(path=path)


def test_a_query_may_begin_with_its_mark() -> None:
    assert spec(query="?api-version=2024-10-21").endpoint.query == "api-version=2024-10-21"


@pytest.mark.parametrize("query", ["api-version", "a=1 2", "a=1&b"])
def test_a_query_that_is_none_is_refused(query: str) -> None:
    assert "names and values" in complaint(query=query)


def test_a_query_with_a_key_is_refused_and_not_repeated() -> None:
    said = complaint(query="api_key=geheim")
    assert "api_key_env" in said
    assert "geheim" not in said


def test_a_url_with_a_query_names_the_field_for_it() -> None:
    assert "query (--query)" in complaint(url="http://h/v1?api-version=1")


def test_further_fields_are_json_on_the_command_line() -> None:
    assert spec({"extra_body": '{"top_p": 0.9}'}).workload.extra_body == {"top_p": 0.9}


def test_further_fields_that_are_not_json_are_refused() -> None:
    assert "not JSON" in complaint(workload={"extra_body": "{top_p: 1"})


@pytest.mark.parametrize("field", ["model", "stream", "messages", "prompt"])
def test_what_is_sent_cannot_be_replaced(field: str) -> None:
    assert f"{field} cannot be set here" in complaint(workload={"extra_body": {field: 1}})


def test_further_fields_with_a_secret_are_refused_and_not_repeated() -> None:
    said = complaint(workload={"extra_body": {"tools": [{"type": "mcp", "authorization": "geheim"}]}})
    assert "authorization would be written into results" in said
    assert "geheim" not in said


@pytest.mark.parametrize("fields", [{"filters": {"key": "region"}}, {"properties": {"token": {"type": "string"}}}])
def test_further_fields_with_names_like_secrets_are_taken(fields: dict[str, object]) -> None:
    assert spec({"extra_body": fields}).workload.extra_body == fields


def test_several_answers_to_a_request_are_refused() -> None:
    assert "n has to be 1" in complaint(workload={"extra_body": {"n": 2}})
    assert spec({"extra_body": {"n": 1}}).workload.extra_body == {"n": 1}
