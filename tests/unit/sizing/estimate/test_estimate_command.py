"""`shapebench estimate` and `shapebench shapes`."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.main import cli
from shapebench.errors import ShapebenchError
from shapebench.sizing.estimate.estimating import BEST


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(cli, arguments)


def answer(*arguments: str) -> Any:
    ended = run(*arguments, "--json")
    assert ended.exit_code == 0, ended.output
    return json.loads(ended.stdout)


def test_without_a_shape_every_shape_of_the_catalogue_is_estimated() -> None:
    listed = [shape["name"] for shape in answer("shapes")]
    assert [shape["shape"] for shape in answer("estimate", "Llama-3.1-8B")["shapes"]] == listed


def test_the_object_holds_the_model_the_fit_the_bounds_and_the_money() -> None:
    said = answer("estimate", "Llama-3.2-3B", "--shape", "vm.gpu.a10.1", "--concurrency", "16")
    assert said["model"]["parameters"] == 3_212_749_824
    assert said["workload"] == {"input_tokens": 200, "output_tokens": 100, "concurrency": 16}
    assert said["note"] == BEST
    (shape,) = said["shapes"]
    assert (shape["shape"], shape["fits"], shape["loaded"]["concurrency"]) == ("VM.GPU.A10.1", True, 16)
    assert shape["price"]["per_hour"] == 2
    tokens_per_s = shape["loaded"]["system_tokens_per_s"]
    assert shape["cost_per_million_output_tokens"] == pytest.approx(2 / 3600 / tokens_per_s * 1e6)


def test_lengths_are_given_as_for_a_run() -> None:
    said = answer(
        "estimate", "Llama-3.2-3B", "--shape", "VM.GPU.A10.1", "--input-tokens", "480,240", "--output-tokens", "300"
    )
    assert (said["workload"]["input_tokens"], said["workload"]["output_tokens"]) == (480, 300)


def test_how_it_is_served_can_be_said() -> None:
    said = answer(
        "estimate", "Llama-3.1-8B", "--shape", "BM.GPU.H100.8", "--tensor-parallel", "2",
        "--gpu-memory-utilization", "0.5", "--kv-cache-dtype", "fp8", "--quantization", "fp8", "--dtype", "half",
    )  # fmt: skip
    assert said["serving"]["gpu_memory_utilization"] == 0.5
    assert (said["model"]["weights"], said["model"]["dtype"]) == ("FP8", "float16")
    assert said["model"]["kv_cache_bytes_per_token"] == 65_536
    assert (said["shapes"][0]["tensor_parallel"], said["shapes"][0]["replicas"]) == (2, 4)


def test_one_shape_is_told_in_full_and_says_that_it_is_a_bound() -> None:
    shown = run("estimate", "Llama-3.2-3B", "--shape", "VM.GPU.A10.1").stdout
    for part in ("3.21 billion parameters", "375 sequences of 300", "32 in flight", "2.00 USD an hour", BEST[:40]):
        assert part in shown


def test_several_shapes_are_a_table_with_the_reasons_of_those_that_do_not_fit() -> None:
    shown = run("estimate", "Llama-3.3-70B-Instruct").stdout
    assert "BM.GPU.H100.8" in shown
    assert "Not on VM.GPU.A10.1: the weights need 141.1 GB on each GPU" in shown


def test_a_hostile_name_is_shown_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "[bold]name"
    folder.mkdir()
    config = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    config |= {"num_attention_heads": 1, "vocab_size": 100}
    (folder / "config.json").write_text(json.dumps(config))
    assert "[bold]name: 0.0 million parameters" in run("estimate", str(folder), "--shape", "VM.GPU.A10.1").stdout


@pytest.mark.parametrize("arguments", [("nobody-knows-it",), ("Llama-3.2-3B", "--shape", "VM.GPU.A11.1")])
def test_what_is_not_known_is_refused(arguments: tuple[str, ...]) -> None:
    assert isinstance(run("estimate", *arguments).exception, ShapebenchError)


@pytest.mark.parametrize(
    "arguments",
    [("--input-tokens", "many"), ("--output-tokens", "-1"), ("--concurrency", "0"), ("--tensor-parallel", "0")],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert run("estimate", "Llama-3.2-3B", *arguments).exit_code == 2


def test_all_shapes_are_listed_with_their_price() -> None:
    shown = run("shapes").stdout
    assert "VM.GPU.A10.1" in shown
    assert "2.00 USD" in shown


def test_of_one_shape_every_fact_is_shown_with_its_source_and_how_sure_it_is() -> None:
    shown = run("shapes", "VM.GPU.A10.1").stdout
    for part in ("gpu_memory_bandwidth_gb_per_s", "600", "data sheet", "B95909", "2026-02"):
        assert part in shown


def test_a_price_that_is_not_known_is_said_not_to_be() -> None:
    assert "Its price is not known." in run("shapes", "BM.Standard.E6.256").stdout
    assert answer("shapes", "BM.Standard.E6.256")[0]["price"] is None
