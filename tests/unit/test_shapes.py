"""What the catalogue knows of compute shapes."""

import pytest

from shapebench.shapes import _catalogue, memory_bandwidth_bytes_per_s

CATALOGUE = _catalogue()


def test_one_a10_reads_600_gb_in_a_second() -> None:
    assert memory_bandwidth_bytes_per_s("VM.GPU.A10.1") == 600e9


@pytest.mark.parametrize(("shape", "gpus"), [("VM.GPU.A10.2", 2), ("BM.GPU.A10.4", 4)])
def test_all_gpus_of_a_shape_read_at_once(shape: str, gpus: int) -> None:
    assert memory_bandwidth_bytes_per_s(shape) == gpus * 600e9


@pytest.mark.parametrize("name", CATALOGUE["shapes"])
def test_every_shape_names_a_gpu_that_is_there_and_how_many_it_has(name: str) -> None:
    has = CATALOGUE["shapes"][name]
    assert has["gpu"] in CATALOGUE["gpus"]
    assert name.endswith(f".{has['gpus']}")
    assert memory_bandwidth_bytes_per_s(name) == (
        CATALOGUE["gpus"][has["gpu"]]["memory_bandwidth_gb_per_s"] * has["gpus"] * 1e9
    )


def test_every_gpu_is_in_some_shape() -> None:
    assert {has["gpu"] for has in CATALOGUE["shapes"].values()} == set(CATALOGUE["gpus"])


@pytest.mark.parametrize("gpu", CATALOGUE["gpus"])
def test_bandwidths_are_in_gigabytes_in_a_second(gpu: str) -> None:
    assert 100 < CATALOGUE["gpus"][gpu]["memory_bandwidth_gb_per_s"] < 50_000


def test_how_the_name_is_written_does_not_matter() -> None:
    assert memory_bandwidth_bytes_per_s("vm.gpu.a10.1") == 600e9


@pytest.mark.parametrize("text", [" (simulated)", " in Frankfurt", " "])
def test_text_after_the_name_does_not_matter(text: str) -> None:
    assert memory_bandwidth_bytes_per_s(f"VM.GPU.A10.1{text}") == 600e9


@pytest.mark.parametrize("shape", ["", " ", "unknown", "VM.GPU.A10", "VM.GPU.A10.3", "A10", "gpus"])
def test_of_an_unknown_shape_nothing_is_known(shape: str) -> None:
    assert memory_bandwidth_bytes_per_s(shape) is None
