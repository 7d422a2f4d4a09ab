"""The catalogue's files: what comes with shapebench, and what users put over it."""

import os
import re
from pathlib import Path

import pytest

from shapebench.sizing.catalogue.reading import VARIABLE, CatalogueError, built_in_catalogue, catalogue
from shapebench.sizing.catalogue.schema import SURE, Catalogue, Fact
from shapebench.sizing.shapes import Price, known_shape, shape_named

BUILT_IN = built_in_catalogue()


def facts(content: Catalogue) -> dict[str, Fact]:
    """Every fact, by where it stands."""
    found = {}
    for section in ("gpus", "cpus", "parts", "shapes"):
        for name, entry in getattr(content, section).items():
            for field in entry.FACTS:
                value = getattr(entry, field)
                table = value if isinstance(value, dict) else {"": value}
                found |= {f"{section}.{name}.{field}.{key}": fact for key, fact in table.items() if fact}
    return found


@pytest.mark.parametrize("where", facts(BUILT_IN))
def test_every_fact_says_how_sure_it_is_and_who_says_so(where: str) -> None:
    fact = facts(BUILT_IN)[where]
    assert fact.sure in SURE
    assert fact.sure != "stated"
    assert fact.source
    assert not fact.source.endswith(".yaml")


@pytest.mark.parametrize("number", BUILT_IN.parts)
def test_every_price_is_dated(number: str) -> None:
    price = BUILT_IN.parts[number].price
    assert price
    assert price.as_of
    assert price.as_of.startswith("2026")


@pytest.mark.parametrize("number", BUILT_IN.parts)
def test_every_part_is_billed_by_some_shape(number: str) -> None:
    assert any(number in shape.parts for shape in BUILT_IN.shapes.values())


def test_every_processor_is_in_some_shape() -> None:
    assert {shape.gpu for shape in BUILT_IN.shapes.values()} - {None} == set(BUILT_IN.gpus)
    assert {shape.cpu for shape in BUILT_IN.shapes.values()} - {None} == set(BUILT_IN.cpus)


def test_sparse_figures_did_not_slip_in() -> None:
    """Makers double them: FP8 has twice the bf16 rate of the same unit, never four times."""
    for name, gpu in BUILT_IN.gpus.items():
        rates = {dtype: fact.value for dtype, fact in gpu.dense_tflops.items()}
        if "fp8" in rates:
            assert rates["fp8"] / rates["bf16"] == pytest.approx(2, rel=0.03), name


def test_what_a_program_sees_is_a_little_less_than_what_the_maker_calls_it() -> None:
    for name, gpu in BUILT_IN.gpus.items():
        if gpu.visible_memory_gib and gpu.memory_gb:
            assert 0.91 < gpu.visible_memory_gib.value / gpu.memory_gb.value < 1, name


OWN = """
gpus:
  A10G:
    source: the maker's page
    sure: data sheet
    memory_gb: 24
    memory_bandwidth_gb_per_s: 600
    dense_tflops: {bf16: 70}
parts:
  g5: {unit: shape hour, price: 1.006, currency: EUR, as_of: 2026-11}
shapes:
  g5.xlarge: {cloud: AWS, gpu: A10G, gpus: 1, parts: [g5]}
"""


def test_a_file_in_the_users_folder_adds_a_shape_of_another_cloud(own_folder: Path) -> None:
    (own_folder / "aws.yaml").write_text(OWN)
    shape = known_shape("g5.xlarge")
    assert (shape.cloud, shape.memory_bytes, shape.flops) == ("AWS", 24e9, {"bf16": 70e12})
    assert shape.price
    assert (shape.price.per_hour, shape.price.currency, shape.price.as_of) == (1.006, "EUR", "2026-11")


def test_files_that_the_variable_names_are_read_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.yaml").write_text(OWN)
    folder = tmp_path / "many"
    folder.mkdir()
    (folder / "two.yaml").write_text(OWN.replace("g5.xlarge", "g5.2xlarge"))
    monkeypatch.setenv(VARIABLE, os.pathsep.join((str(tmp_path / "one.yaml"), str(folder))))
    assert {"g5.xlarge", "g5.2xlarge", "VM.GPU.A10.1"} <= set(catalogue().shapes)


def test_a_price_of_ones_own_changes_every_shape_that_is_billed_by_the_part(own_folder: Path) -> None:
    (own_folder / "contract.yaml").write_text("parts:\n  B95909: {price: 1.5}\n")
    for name, gpus in (("VM.GPU.A10.1", 1), ("BM.GPU.A10.4", 4)):
        price = known_shape(name).price
        assert price
        assert (price.per_hour, price.currency, price.sure, price.as_of) == (1.5 * gpus, "USD", "stated", None)


def test_what_is_put_over_a_fact_takes_its_source_along(own_folder: Path) -> None:
    (own_folder / "measured.yaml").write_text(
        "gpus:\n  A10: {memory_bandwidth_gb_per_s: {value: 560, sure: seen, source: our nvbandwidth}}\n"
    )
    a10 = catalogue().gpus["A10"]
    assert a10.memory_bandwidth_gb_per_s == Fact(value=560, sure="seen", source="our nvbandwidth")
    assert a10.memory_gb == BUILT_IN.gpus["A10"].memory_gb


def test_a_fact_without_a_source_is_the_files(own_folder: Path) -> None:
    (own_folder / "mine.yaml").write_text("gpus:\n  A10: {dense_tflops: {fp32: 30}}\n")
    tflops = catalogue().gpus["A10"].dense_tflops
    assert tflops["fp32"] == Fact(value=30, sure="stated", source=str(own_folder / "mine.yaml"))
    assert tflops["bf16"].value == 125


def test_the_later_file_is_over_the_earlier(own_folder: Path) -> None:
    (own_folder / "a.yaml").write_text("parts:\n  B95909: {price: 1.5}\n")
    (own_folder / "b.yaml").write_text("parts:\n  B95909: {price: 1.2}\n")
    price = known_shape("VM.GPU.A10.1").price
    assert price
    assert price.per_hour == 1.2


def test_what_comes_with_shapebench_is_the_same_whatever_lies_over_it(own_folder: Path) -> None:
    (own_folder / "mine.yaml").write_text("gpus:\n  A10: {memory_gb: 48}\n")
    assert built_in_catalogue() == BUILT_IN


def test_all_that_is_wrong_with_a_file_is_said_at_once(own_folder: Path) -> None:
    (own_folder / "bad.yaml").write_text(
        "gpus:\n  A10: {memory_gb: -1, memory_bandwith: 3}\nparts:\n  X: {unit: GPU day, price: 1}\nshape: {}\n"
    )
    with pytest.raises(CatalogueError) as raised:
        catalogue()
    for part in (
        "bad.yaml cannot be used",
        "gpus.A10.memory_gb.value: Input should be greater than 0",
        "gpus.A10.memory_bandwith: there is no such field",
        "parts.X.unit: Input should be 'GPU hour'",
        "shape: there is no such field",
        "docs/shapes.md",
    ):
        assert part in str(raised.value)


def test_all_that_does_not_add_up_is_said_at_once(own_folder: Path) -> None:
    (own_folder / "odd.yaml").write_text(
        "gpus:\n  New: {memory_gb: 10}\nparts:\n  X: {price: 1}\n"
        "shapes:\n  one: {gpu: Nowhere, gpus: 1}\n  two: {gpu: A10}\n  three: {parts: [Y]}\n  four: {cpu: EPYC-9J14}\n"
    )
    with pytest.raises(CatalogueError) as raised:
        catalogue()
    for part in (
        "gpus.New: memory_bandwidth_gb_per_s is needed",
        "parts.X: unit and price are needed",
        "shapes.one: there is no GPU 'Nowhere'",
        "shapes.two: there is no GPU 'A10', or the number of GPUs",
        "shapes.three: there is no part 'Y'",
        "shapes.three: gpu or cpu is needed",
        "shapes.four: there is no CPU 'EPYC-9J14', or ocpus and memory_gb are missing",
    ):
        assert part in str(raised.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("gpus: [", "is not YAML"),
        ("- 1", "cannot be used"),
        ("gpus: {A10: {memory_gb: {value: 24, sure: very}}}", "is not one of price list"),
        ("shapes: {x: {gpu: A10, gpus: 1, cpu: EPYC-9J14}}", "needs either a gpu or a cpu"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(own_folder: Path, content: str, problem: str) -> None:
    (own_folder / "broken.yaml").write_text(content)
    with pytest.raises(CatalogueError, match=rf"(?s)broken\.yaml.*{problem}"):
        catalogue()


def test_a_file_that_the_variable_names_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/nowhere/at-all.yaml")
    with pytest.raises(CatalogueError, match=r"(?s)/nowhere/at-all\.yaml.*SHAPEBENCH_CATALOGUE"):
        catalogue()


DOCS = Path(__file__).parents[4] / "docs" / "shapes.md"


def test_the_files_that_the_documentation_shows_can_be_used(own_folder: Path) -> None:
    shown = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(shown) == 2
    for number, text in enumerate(shown):
        (own_folder / f"{number}.yaml").write_text(text)
    assert known_shape("g5.xlarge").price == Price(
        1.006, "USD", "stated", "2026-11", "1 x 1.006 USD (aws-g5-xlarge, shape hour)"
    )
    price = known_shape("VM.GPU.A10.1").price
    assert price
    assert price.per_hour == 1.4


def test_the_documentation_explains_every_word_for_how_sure_a_fact_is() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert [word for word, meaning in SURE.items() if f"| `{word}` | {meaning} |" not in text] == []


def test_parts_of_two_currencies_have_no_sum(own_folder: Path) -> None:
    (own_folder / "mixed.yaml").write_text("parts:\n  B97385: {price: 0.002, currency: EUR}\n")
    shape = shape_named("VM.Standard.E5.Flex:1:1")
    assert shape
    assert shape.price is None
