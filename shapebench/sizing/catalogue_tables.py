"""Tables of the catalogue for the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from shapebench.sizing.catalogue.schema import SURE
from shapebench.sizing.shapes import Shape, amount


def show_all(shapes: Sequence[Shape], console: Console) -> None:
    """Print a row for each shape; speeds are those of all its GPUs."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("shape", no_wrap=True)
    table.add_column("it has")
    for heading in ("memory (GB)", "GB/s", "dense TFLOP/s\n(bf16 or fp16)", "list price\nof an hour", "as of"):
        table.add_column(heading, justify="right")
    for shape in shapes:
        table.add_row(shape.name, shape.has, *_cells(shape))
    console.print(table)
    console.print("`shapebench shapes SHAPE` shows all facts about a shape, with their confidence and sources.")


def _cells(shape: Shape) -> list[str]:
    flops = shape.flops.get("bf16") or shape.flops.get("fp16") or shape.flops.get("fp32")
    price = shape.price
    return [
        f"{shape.memory_bytes * shape.devices / 1e9:,.0f}",
        _thousands(shape.memory_bandwidth_bytes_per_s, shape.devices, 1e9),
        _thousands(flops, shape.devices, 1e12),
        amount(price.per_hour, price.currency) if price else "unknown",
        (price.as_of or "") if price else "",
    ]


def _thousands(each: float | None, count: int, unit: float) -> str:
    return "unknown" if each is None else f"{each * count / unit:,.0f}"


def show_one(shape: Shape, console: Console) -> None:
    """Print each fact of a shape, how sure it is, and its source."""
    of_what = f" of {shape.processor}" if shape.on_cpu else ""
    console.print(f"{shape.name}: {shape.has}{of_what}")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("fact", "value", "how sure", "as of", "source"):
        table.add_column(heading)
    for name, fact in shape.facts.items():
        table.add_row(name, f"{fact.value:g}", fact.sure, fact.as_of or "", fact.source)
    if price := shape.price:
        table.add_row(
            "price of an hour", f"{price.per_hour:g} {price.currency}", price.sure, price.as_of or "", price.how
        )
    console.print(table)
    if shape.price is None:
        console.print("Its price is not known.")
    for sure in dict.fromkeys([fact.sure for fact in shape.facts.values()]):
        console.print(f"{sure}: {SURE[sure]}.")
