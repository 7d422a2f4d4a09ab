"""Keys of endpoints: what Prefect takes, the same at every run, another for every other endpoint."""

import re

import pytest

from shapebench.support.endpoint_id import endpoint_id

A10 = ("http://127.0.0.1:8000", "meta-llama/Llama-3.2-3B-Instruct", "VM.GPU.A10.1")


def test_it_is_recognised() -> None:
    assert re.fullmatch(r"llama-3-2-3b-instruct-vm-gpu-a10-1-[0-9a-f]{8}", endpoint_id(*A10))


def test_it_is_the_same_at_every_run() -> None:
    assert endpoint_id(*A10) == "llama-3-2-3b-instruct-vm-gpu-a10-1-" + endpoint_id(*A10)[-8:] == endpoint_id(*A10)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_another_endpoint_has_another(part: int) -> None:
    other = [*A10]
    other[part] += "x"
    assert endpoint_id(*other) != endpoint_id(*A10)


@pytest.mark.parametrize("name", ["<script>", "ÄÖÜ", "", "---", "a" * 10_000, "a/b/../../etc", "`|\n"])
def test_prefect_takes_it_whatever_the_model_is_called(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,60})", endpoint_id("http://a", name, name))
