"""The spec: the article's defaults, one form for YAML, flags and the Prefect UI, and all that is wrong at once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from shapebench.spec.model import Load, Spec, SpecError, parse, parse_as, read
from shapebench.spec.multi_endpoint import Choice

MINIMAL = {"endpoint": {"url": "http://127.0.0.1:8000", "model": "m"}}


def spec(**sections: Any) -> Spec:
    return parse({**MINIMAL, **sections})


def problem(content: dict[str, Any]) -> str:
    with pytest.raises(SpecError) as caught:
        parse(content)
    return caught.value.problem


def with_url(url: str) -> dict[str, Any]:
    return {"endpoint": {"url": url, "model": "m"}}


def test_the_defaults_are_the_articles() -> None:
    given = spec()
    assert (given.workload.input_tokens.mean, given.workload.input_tokens.stddev) == (200, 40)
    assert (given.workload.output_tokens.mean, given.workload.output_tokens.stddev) == (100, 10)
    assert given.load.levels == (1, 2, 4, 8, 16, 32)
    assert (given.workload.name, given.endpoint.api) == ("chat", "chat")
    assert (given.limits.query_tokens_per_s, given.limits.ttft_s) == (10, 0.5)
    assert given.data == Path("data")
    assert given.publish.oci is None


@pytest.mark.parametrize("url", ["127.0.0.1:8002/metrics", "ftp://host/metrics", "http://", "https://u:p@host/metrics"])
def test_the_address_of_metrics_is_a_url_without_a_password(url: str) -> None:
    assert "metrics_url" in problem({"endpoint": {**MINIMAL["endpoint"], "metrics_url": url}})


def test_the_address_of_metrics_may_have_a_path_and_a_query() -> None:
    url = "http://127.0.0.1:8080/metrics?model=m"
    assert spec(endpoint={**MINIMAL["endpoint"], "metrics_url": url}).endpoint.metrics_url == url


def test_all_that_is_wrong_is_listed_at_once() -> None:
    said = problem(
        {
            "endpoint": {"url": "127.0.0.1:8000"},
            "load": {"levels": [0]},
            "workload": {"temprature": 1},
            "limits": {"ttft_s": "soon"},
        }
    )
    assert [line.split(":")[0].strip() for line in said.splitlines()[1:]] == [
        "endpoint.url",
        "endpoint.model",
        "workload.temprature",
        "load.levels.0",
        "limits.ttft_s",
    ]


def test_what_is_missing_unknown_or_wrong_is_said_in_plain_words() -> None:
    said = problem({"endpoint": {"url": "http://h", "modle": "m"}, "limits": {"ttft_s": "soon"}})
    assert "endpoint.model: needed, but not given" in said
    assert "endpoint.modle: there is no such field" in said
    assert "(given: 'soon')" in said


def test_a_spec_error_names_a_remedy() -> None:
    with pytest.raises(SpecError, match="What to do: Correct the fields above"):
        parse({})


@pytest.mark.parametrize("given", ["200,40", "200, 40", {"mean": 200, "stddev": 40}])
def test_lengths_are_given_as_a_pair_or_by_name(given: Any) -> None:
    lengths = spec(workload={"input_tokens": given}).workload.input_tokens
    assert (lengths.mean, lengths.stddev) == (200, 40)


@pytest.mark.parametrize("given", ["200", 200, {"mean": 200}])
def test_a_length_without_a_spread_is_fixed(given: Any) -> None:
    lengths = spec(workload={"output_tokens": given}).workload.output_tokens
    assert (lengths.mean, lengths.stddev) == (200, 0)


@pytest.mark.parametrize("given", ["many", "200,40,3", "-5,1", 0, "nan", "200,inf"])
def test_lengths_that_are_none_are_refused(given: Any) -> None:
    assert "workload.input_tokens" in problem({**MINIMAL, "workload": {"input_tokens": given}})


@pytest.mark.parametrize("given", ["1,2,4", "1, 2, 4", [1, 2, 4]])
def test_levels_are_given_as_a_list_or_with_commas(given: Any) -> None:
    assert spec(load={"levels": given}).load.levels == (1, 2, 4)


@pytest.mark.parametrize("given", [[2, 2], "2,2", [], "", [0], ["x"], [10_001]])
def test_levels_that_are_none_are_refused(given: Any) -> None:
    assert "load.levels" in problem({**MINIMAL, "load": {"levels": given}})


def test_a_level_named_twice_is_said() -> None:
    assert "a level is listed twice" in problem({**MINIMAL, "load": {"levels": [4, 4]}})


def test_fewer_requests_than_streams_are_refused_with_what_would_do() -> None:
    said = problem({**MINIMAL, "load": {"levels": [1, 8, 16], "requests": 4}})
    assert "leaves streams idle at 8, 16: set at least 16 requests" in said


def test_a_search_that_goes_beyond_the_requests_is_refused_with_what_would_do() -> None:
    said = problem({**MINIMAL, "load": {"requests": 40}, "search": {"max_level": 64}})
    assert "leaves streams idle at 64: set at least 64 requests" in said
    assert "or search up to 40" in said


def test_a_search_measures_no_levels_that_could_have_too_few_requests() -> None:
    assert spec(load={"levels": [64], "requests": 8}, search={"max_level": 8}).load.requests == 8


def test_as_many_requests_as_streams_are_enough() -> None:
    assert spec(load={"levels": [1, 4], "requests": 4}).load.requests_at(4) == 4


def test_a_level_gets_requests_for_each_stream_unless_their_number_is_given() -> None:
    assert spec(load={"requests_per_stream": 5}).load.requests_at(8) == 40
    assert spec(load={"requests": 100}).load.requests_at(8) == 100


def test_where_nothing_is_said_a_level_has_thirty_requests_for_each_stream() -> None:
    assert (spec().load.requests_at(8), spec().load.duration_at(8)) == (240, None)


def test_a_duration_alone_leaves_the_number_of_requests_open() -> None:
    load = spec(load={"duration_s": 60}).load
    assert (load.requests_at(8), load.duration_at(8)) == (None, 60)


@pytest.mark.parametrize("requests", [{"requests": 100}, {"requests_per_stream": 50}])
def test_a_duration_beside_a_number_of_requests_leaves_that_as_it_is(requests: dict[str, int]) -> None:
    load = spec(load={"levels": [2], "duration_s": 60, **requests}).load
    assert (load.requests_at(2), load.duration_at(2)) == (100, 60)


def test_a_wanted_precision_alone_is_bounded_by_time() -> None:
    load = spec(load={"until_precise": "2%"}).load
    assert (load.requests_at(8), load.duration_at(8)) == (None, 600)


def test_a_wanted_precision_is_bounded_by_what_is_said() -> None:
    assert spec(load={"until_precise": "2%", "duration_s": 60}).load.duration_at(8) == 60
    assert spec(load={"until_precise": "2%", "requests": 100}).load.requests_at(8) == 100
    assert spec(load={"until_precise": "2%", "requests": 100}).load.duration_at(8) is None


@pytest.mark.parametrize("given", ["2%", " 2 % ", "2.0%", "0.02", 0.02])
def test_a_precision_is_given_as_a_percentage_or_a_share(given: Any) -> None:
    assert spec(load={"until_precise": given}).load.until_precise == pytest.approx(0.02)


@pytest.mark.parametrize("given", ["soon", "%", "2%%", "2% or so", "2", 2, "0%", 0, "-1%", "nan%", "nan", "51%"])
def test_a_precision_that_is_none_is_refused(given: Any) -> None:
    assert "load.until_precise" in problem({**MINIMAL, "load": {"until_precise": given}})


@pytest.mark.parametrize("name", ["processes", "duration_s", "stall_timeout_s", "requests", "requests_per_stream"])
@pytest.mark.parametrize("given", [0, -1, "some", float("inf")])
def test_a_load_that_cannot_be_is_refused_by_name(name: str, given: Any) -> None:
    assert f"load.{name}" in problem({**MINIMAL, "load": {name: given}})


def test_the_client_is_tried_out_unless_that_is_turned_off() -> None:
    assert spec().load.calibrate
    assert not spec(load={"calibrate": False}).load.calibrate


@pytest.mark.parametrize("url", ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"])
def test_a_trailing_v1_is_dropped(url: str) -> None:
    assert parse(with_url(url)).endpoint.url == "http://h:1"


def test_a_path_before_v1_is_kept() -> None:
    assert parse(with_url("https://h/models/a/v1")).endpoint.url == "https://h/models/a"


SECRET_URLS = [
    "http://me:hunter2@h:1",
    "http://hunter2@h",
    "https://h/v1?key=hunter2",
    "me:hunter2@h",
    "http://h#hunter2",
]


@pytest.mark.parametrize("url", SECRET_URLS)
def test_a_service_endpoint_that_may_hold_a_secret_is_refused_too(url: str) -> None:
    said = problem({**with_url("http://h"), "publish": {"oci": {"bucket": "b", "service_endpoint": url}}})
    assert "publish.oci.service_endpoint" in said
    assert "hunter2" not in said


def test_prefect_is_not_shown_what_was_wrong_with_a_parameter() -> None:
    with pytest.raises(ValidationError) as caught:
        Spec.model_validate(with_url("http://me:hunter2@h:1"))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", SECRET_URLS)
def test_a_url_that_may_hold_a_secret_is_refused_without_repeating_it(url: str) -> None:
    said = problem(with_url(url))
    assert "api_key_env" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("url", ["h:8000", "ftp://h", "http://", "http://h:x", "http://h:70000", ""])
def test_what_is_no_url_is_refused(url: str) -> None:
    assert "endpoint.url" in problem(with_url(url))


def test_an_extra_field_is_refused_in_every_section() -> None:
    for section in ("workload", "load", "limits", "publish"):
        assert f"{section}.nope: there is no such field" in problem({**MINIMAL, section: {"nope": 1}})
    assert "nope: there is no such field" in problem({**MINIMAL, "nope": 1})


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        spec().data = Path("elsewhere")  # type: ignore[misc]


FULL = {
    "endpoint": {**MINIMAL["endpoint"], "launch": "vllm serve m", "ca_file": "ca.pem"},
    "workload": {"input_tokens": "10,1", "seed": 7},
    "load": {"levels": "1,2", "requests": 9, "duration_s": 60, "until_precise": "2%", "processes": 2},
    "publish": {"oci": {"bucket": "b", "auth": "instance_principal"}},
    "data": "elsewhere",
}


@pytest.mark.parametrize("content", [MINIMAL, FULL])
def test_a_spec_survives_json_as_prefect_passes_it(content: dict[str, Any]) -> None:
    given = parse(content)
    assert Spec.model_validate_json(given.model_dump_json()) == given
    assert parse(given.model_dump(mode="json")) == given


def test_a_spec_survives_yaml(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump(parse(FULL).model_dump(mode="json")), encoding="utf-8")
    assert parse(read(file)) == parse(FULL)


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of the form that the Prefect UI makes of the schema; a section is described where it is defined."""
    for name, part in {"Spec": schema, **schema["$defs"]}.items():
        for field, content in part["properties"].items():
            section = str(content.get("$ref", "")).rpartition("/")[2]
            yield f"{name}.{field}", {**schema["$defs"].get(section, {}), **content}


FIELDS = dict(fields(Spec.model_json_schema()))


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_says_what_it_is(name: str) -> None:
    assert FIELDS[name]["title"]
    assert FIELDS[name]["description"].endswith(".")


def numbers(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if content.get("type") in ("integer", "number"):
        yield content
    for inner in (*content.get("anyOf", []), content.get("items", {})):
        yield from numbers(inner) if inner else ()


@pytest.mark.parametrize("name", [name for name, content in FIELDS.items() if [*numbers(content)]])
def test_every_number_has_bounds(name: str) -> None:
    for number in numbers(FIELDS[name]):
        assert {"minimum", "exclusiveMinimum"} & set(number), name
        assert {"maximum", "exclusiveMaximum"} & set(number), name


def test_there_are_numbers_to_bound() -> None:
    assert {"Load.levels", "Load.requests", "Workload.seed", "Limits.ttft_s", "Normal.mean"} <= {
        name for name, content in FIELDS.items() if [*numbers(content)]
    }


def test_the_schema_is_json() -> None:
    assert json.loads(json.dumps(Spec.model_json_schema()))["title"] == "Spec"


BAD_FILES = {
    "a: [1": "is not YAML",
    "- 1": "has no fields",
    "": "has no fields",
}


@pytest.mark.parametrize("text", BAD_FILES)
def test_a_file_that_is_no_spec_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=BAD_FILES[text]) as caught:
        read(file)
    assert str(file) in caught.value.problem


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="is not YAML"):
        read(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"Cannot read .*nowhere\.yaml: No such file"):
        read(tmp_path / "nowhere.yaml")


EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))
OF_PREFECT = ("alert.yaml", "pick-up.yaml")  # automations, for `prefect automation create`
OTHER_MODELS: dict[str, type[BaseModel]] = {"choice.yaml": Choice}


@pytest.mark.parametrize("file", [file for file in EXAMPLES if file.name not in OF_PREFECT], ids=lambda file: file.name)
def test_every_example_can_be_used(file: Path) -> None:
    model = OTHER_MODELS.get(file.name, Spec)
    assert isinstance(parse_as(model, read(file), file.name), model)


@pytest.mark.parametrize(("streams", "requests"), [(1, 100), (3, 100), (4, 120), (32, 960)])
def test_a_level_has_thirty_requests_a_stream_and_enough_for_a_95th_percentile(streams: int, requests: int) -> None:
    assert Load().requests_at(streams) == requests
