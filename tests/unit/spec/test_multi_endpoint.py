"""Several endpoints to choose among: what is asked of each of them, and all that is wrong at once."""

from pathlib import Path
from typing import Any

import pytest

from shapebench.spec.model import Search, SpecError, parse_as
from shapebench.spec.multi_endpoint import Choice

A10 = {"url": "http://10.0.0.1:8000", "model": "m", "shape": "VM.GPU.A10.1"}
L40S = {"url": "http://10.0.0.2:8000", "model": "m", "shape": "BM.GPU.L40S.4"}


def choice(*endpoints: dict[str, Any], **more: Any) -> Choice:
    return parse_as(Choice, {"endpoints": endpoints or (A10, L40S), **more}, "examples/choice.yaml")


def problem(*endpoints: dict[str, Any], **more: Any) -> str:
    with pytest.raises(SpecError) as refused:
        choice(*endpoints, **more)
    assert "examples/choice.yaml" in refused.value.remedy
    return refused.value.problem


def test_each_endpoint_has_a_run_of_its_own() -> None:
    assert [spec.endpoint.shape for spec in choice().specs] == ["VM.GPU.A10.1", "BM.GPU.L40S.4"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workload", {"input_tokens": 40}),
        ("load", {"levels": [1, 3]}),
        ("limits", {"ttft_s": 2}),
        ("search", {"max_level": 64}),
        ("publish", {"folder": "/tmp/x"}),  # noqa: S108 - nothing is written there
        ("data", "elsewhere"),
    ],
)
def test_what_is_measured_is_the_same_at_all_of_them(name: str, value: Any) -> None:
    asked = choice(**{name: value})
    assert getattr(asked, name) != getattr(choice(), name)
    assert [getattr(spec, name) for spec in asked.specs] == [getattr(asked, name)] * 2


def test_a_workload_may_be_named() -> None:
    asked = choice(workload={"preset": "oci-rag"})
    assert {spec.workload.input_tokens.mean for spec in asked.specs} == {2000}


def test_a_search_takes_the_place_of_levels_that_are_given_for_all() -> None:
    assert choice(search={}).specs[1].search == Search()


def test_one_endpoint_is_no_choice() -> None:
    assert "endpoints: at least two endpoints are needed" in problem(A10)


@pytest.mark.parametrize("name", ["url", "shape"])
def test_endpoints_are_told_apart_by_url_and_shape(name: str) -> None:
    assert f"endpoints have the same {name}: {A10[name]}" in problem(A10, {**L40S, name: A10[name]})


def test_a_price_of_a_shape_that_is_not_there_is_refused() -> None:
    assert "no endpoint has: VM.GPU.A10" in problem(prices={"VM.GPU.A10": 2})


def test_a_price_of_the_shape_that_this_machine_will_turn_out_to_be_is_taken() -> None:
    here = {"url": "http://127.0.0.1:8000", "model": "m", "on_this_machine": True}
    assert choice(here, L40S, prices={"VM.GPU.A10.1": 2}).prices == {"VM.GPU.A10.1": 2}


def test_all_that_is_wrong_is_listed_at_once() -> None:
    said = problem(
        {**A10, "url": "10.0.0.1"}, L40S, users=0, prices={"BM.GPU.L40S.4": -1}, load={"levels": [0]}, much=1
    )
    assert [line.split(":")[0].strip() for line in said.splitlines()[1:]] == [
        "endpoints.0.url",
        "users",
        "prices.BM.GPU.L40S.4",
        "load.levels.0",
        "much",
    ]


def test_endpoints_that_are_alike_and_prices_for_none_are_said_together() -> None:
    said = problem(A10, {**A10, "url": A10["url"]}, prices={"H100": 1})
    assert all(words in said for words in ("same url", "same shape", "no endpoint has: H100"))


def test_the_data_folder_is_the_usual_one() -> None:
    assert choice().data == Path("data")
