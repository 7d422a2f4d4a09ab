"""What the catalogue knows of compute shapes."""

from pathlib import Path

import pytest

from shapebench.errors import ShapebenchError
from shapebench.sizing.catalogue.reading import VARIABLE, built_in_catalogue
from shapebench.sizing.shapes import (
    all_shapes,
    amount,
    known_shape,
    list_price_per_hour,
    memory_bandwidth_bytes_per_s,
    shape_named,
    single_gpu,
)

BUILT_IN = built_in_catalogue()
GPU_SHAPES = [name for name, shape in BUILT_IN.shapes.items() if shape.gpu]

# Oracle's public price list, PAY_AS_YOU_GO, of 2026-02: for an hour of a GPU.
PRICES = [
    ("VM.GPU2.1", "B88518", 1.275, 1),
    ("VM.GPU3.1", "B89734", 2.95, 1),
    ("VM.GPU.A10.1", "B95909", 2.00, 1),
    ("VM.GPU.A10.2", "B95909", 2.00, 2),
    ("BM.GPU.A10.4", "B95909", 2.00, 4),
    ("BM.GPU4.8", "B92740", 3.05, 8),
    ("BM.GPU.A100-v2.8", "B95907", 4.00, 8),
    ("BM.GPU.L40S.4", "B109479", 3.50, 4),
    ("BM.GPU.H100.8", "B98415", 10.00, 8),
    ("BM.GPU.H200.8", "B110519", 10.00, 8),
    ("BM.GPU.B200.8", "B110978", 14.00, 8),
    ("BM.GPU.GB200.4", "B110979", 16.00, 4),
    ("BM.GPU.GB300.4", "B112140", 18.00, 4),
    ("BM.GPU.MI300X.8", "B109485", 6.00, 8),
    ("BM.GPU.MI355X.8", "B111758", 8.60, 8),
]


@pytest.fixture(autouse=True)
def _no_catalogue_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)


def test_one_a10_reads_600_gb_in_a_second() -> None:
    assert memory_bandwidth_bytes_per_s("VM.GPU.A10.1") == 600e9


@pytest.mark.parametrize(("shape", "gpus"), [("VM.GPU.A10.2", 2), ("BM.GPU.A10.4", 4)])
def test_all_gpus_of_a_shape_read_at_once(shape: str, gpus: int) -> None:
    assert memory_bandwidth_bytes_per_s(shape) == gpus * 600e9


@pytest.mark.parametrize("name", GPU_SHAPES)
def test_a_gpu_shape_is_named_by_how_many_gpus_it_has(name: str) -> None:
    assert name.endswith(f".{BUILT_IN.shapes[name].gpus}")


def test_how_fast_a_cpu_reads_is_held_against_nobody() -> None:
    assert memory_bandwidth_bytes_per_s("BM.Standard.E5.192") is None


def test_how_the_name_is_written_does_not_matter() -> None:
    assert memory_bandwidth_bytes_per_s("vm.gpu.a10.1") == 600e9


@pytest.mark.parametrize("text", [" (simulated)", " in Frankfurt", " "])
def test_text_after_the_name_does_not_matter(text: str) -> None:
    assert memory_bandwidth_bytes_per_s(f"VM.GPU.A10.1{text}") == 600e9


@pytest.mark.parametrize("shape", ["", " ", "unknown", "VM.GPU.A10", "VM.GPU.A10.3", "A10", "gpus", "my:box:1"])
def test_of_an_unknown_shape_nothing_is_known(shape: str) -> None:
    assert memory_bandwidth_bytes_per_s(shape) is None
    assert shape_named(shape) is None
    assert list_price_per_hour(shape) is None


@pytest.mark.parametrize(("name", "part", "each", "gpus"), PRICES)
def test_a_gpu_shape_costs_its_gpus_times_the_list_price_of_one(name: str, part: str, each: float, gpus: int) -> None:
    price = known_shape(name).price
    assert price
    assert price.per_hour == pytest.approx(gpus * each)
    assert (price.currency, price.sure, price.as_of) == ("USD", "price list", "2026-02")
    assert price.how.startswith(f"{gpus} x {each:g} USD ({part}")


def test_a_flexible_shape_costs_its_ocpus_and_its_memory() -> None:
    price = known_shape("VM.Standard.E5.Flex:16:128").price
    assert price
    assert price.per_hour == pytest.approx(16 * 0.03 + 128 * 0.002)
    assert price.sure == "second hand"


def test_a_price_that_is_not_known_is_absent() -> None:
    assert known_shape("BM.Standard.E6.256").price is None
    assert list_price_per_hour("BM.Standard.E6.256") is None


def test_a_price_in_another_currency_is_not_taken_for_it() -> None:
    assert list_price_per_hour("VM.GPU.A10.1") == 2
    assert list_price_per_hour("VM.GPU.A10.1", "EUR") is None


def test_a_virtual_machine_is_as_fast_as_its_share_of_the_cores() -> None:
    whole, part = known_shape("BM.Standard.E5.192"), known_shape("VM.Standard.E5.Flex:24:100")
    assert whole.flops["bf16"] == pytest.approx(8 * part.flops["bf16"])
    assert (whole.count, part.count) == (2, 1)
    assert whole.memory_bandwidth_bytes_per_s == 2 * 460.8e9
    assert part.memory_bandwidth_bytes_per_s == 460.8e9


@pytest.mark.parametrize(
    "name",
    ["VM.Standard.E5.Flex:127:64", "VM.Standard.E5.Flex:1:2000", "VM.Standard.E5.Flex:0:1", "VM.Standard.E5.Flex:x:1",
     "VM.Standard.E5.Flex:1", "VM.GPU.A10.1:1:1"],
)  # fmt: skip
def test_a_size_that_a_shape_cannot_have_is_no_shape(name: str) -> None:
    assert shape_named(name) is None
    with pytest.raises(ShapebenchError, match="There is no shape"):
        known_shape(name)


def test_an_unknown_shape_is_refused_with_those_that_are_alike() -> None:
    with pytest.raises(ShapebenchError, match=r"Is it one of .*VM\.GPU\.A10\.1"):
        known_shape("VM.GPU.A10.11")


def test_every_shape_of_the_catalogue_is_listed() -> None:
    assert [shape.name for shape in all_shapes()] == list(BUILT_IN.shapes)


def test_one_gpu_of_a_machine_of_eight_is_an_eighth_of_it() -> None:
    one, eight = single_gpu("H100", BUILT_IN), known_shape("BM.GPU.H100.8")
    assert (one.count, eight.count) == (1, 8)
    assert one.memory_bytes == eight.memory_bytes
    assert one.price is None


@pytest.mark.parametrize(("price", "text"), [(2, "2.00 USD"), (1.275, "1.275 USD"), (112, "112.00 USD")])
def test_an_amount_loses_no_digits(price: float, text: str) -> None:
    assert amount(price, "USD") == text
