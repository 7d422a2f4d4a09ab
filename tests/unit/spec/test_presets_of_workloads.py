"""Workloads that people compare with: what each is, and that what is given counts for more."""

from typing import Any

import pytest

from shapebench.spec.model import Load, Spec, SpecError, Workload, parse
from shapebench.spec.presets import LENGTH_FIELDS, presets

ENDPOINT = {"url": "http://h", "model": "m"}


def spec(**sections: Any) -> Spec:
    return parse({"endpoint": ENDPOINT, **sections})


# Input and output tokens: mean and standard deviation of each, as the sources have them.
LENGTHS = {
    "chat": (200, 40, 100, 10),
    "chatbot": (100, 10, 100, 10),
    "gen_light": (100, 10, 350, 50),
    "gen_heavy": (100, 10, 1000, 100),
    "rag": (2000, 200, 100, 10),
    "oci-random": (480, 240, 300, 150),
    "oci-chat": (100, 0, 100, 0),
    "oci-generation-heavy": (100, 0, 1000, 0),
    "oci-rag": (2000, 0, 200, 0),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_a_preset_has_the_lengths_of_its_source(name: str) -> None:
    workload = spec(workload={"preset": name}).workload
    inputs, outputs = workload.input_tokens, workload.output_tokens
    assert (inputs.mean, inputs.stddev, outputs.mean, outputs.stddev) == LENGTHS[name]
    assert workload.name == name


def test_these_are_all_there_are() -> None:
    assert {*presets()} == {*LENGTHS}


@pytest.mark.parametrize("name", presets())
def test_each_says_what_it_is_and_who_says_so(name: str) -> None:
    assert presets()[name].about
    assert presets()[name].source


@pytest.mark.parametrize("name", presets())
def test_each_says_when_a_level_ends_or_that_this_is_assumed(name: str) -> None:
    preset = presets()[name]
    assert bool(set(preset.load) & {*LENGTH_FIELDS}) != bool(preset.assumed)


def test_that_of_the_article_is_the_default() -> None:
    given, usual = spec(workload={"preset": "chat"}), spec()
    assert given.load == usual.load
    assert given.workload.model_copy(update={"preset": None}) == usual.workload


@pytest.mark.parametrize("name", ["chatbot", "gen_light", "gen_heavy", "rag"])
def test_the_companion_codes_climb_to_512_and_stop_where_queries_get_slow(name: str) -> None:
    load = spec(workload={"preset": name}).load
    assert load.levels == (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    assert load.requests_at(512) == 30 * 512
    assert load.stop_below_query_tokens_per_s == 10


def test_what_is_given_counts_for_more() -> None:
    found = spec(workload={"preset": "rag", "name": "mine", "output_tokens": "50,5"}, load={"levels": [1, 2]})
    assert (found.workload.name, found.workload.output_tokens.mean, found.load.levels) == ("mine", 50, (1, 2))
    assert found.workload.input_tokens.mean == 2000


@pytest.mark.parametrize("given", [{"requests": 600}, {"duration_s": 60}, {"until_precise": "2%"}])
def test_when_a_level_ends_is_said_by_one_of_them_alone(given: dict[str, Any]) -> None:
    load = spec(workload={"preset": "rag"}, load=given).load
    assert load.requests_per_stream is None
    assert load.stop_below_query_tokens_per_s == 10


@pytest.mark.parametrize("name", presets())
def test_a_spec_with_a_preset_survives_json(name: str) -> None:
    given = spec(workload={"preset": name}, load={"duration_s": 9})
    assert Spec.model_validate_json(given.model_dump_json()) == given
    assert parse(given.model_dump(mode="json")) == given


@pytest.mark.parametrize("name", ["", "article", ["rag"], 3])
def test_a_preset_that_is_none_is_refused_beside_all_else_that_is_wrong(name: Any) -> None:
    with pytest.raises(SpecError) as caught:
        spec(workload={"preset": name}, load={"levels": [0]})
    assert "workload.preset" in caught.value.problem
    assert "load.levels.0" in caught.value.problem


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SpecError) as caught:
        spec(workload={"preset": "article"})
    assert all(name in caught.value.problem for name in presets())


@pytest.mark.parametrize("sections", [{"workload": 3}, {"workload": {"preset": "rag"}, "load": 3}])
def test_sections_that_are_none_are_refused_as_ever(sections: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        spec(**sections)


def test_sections_that_are_made_already_stay_what_they_are() -> None:
    made = Workload(preset="rag")
    assert Spec.model_validate({"endpoint": ENDPOINT, "workload": made, "load": Load()}).workload == made
