"""What Vega would paint of a chart."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import altair as alt
import vl_convert

Drawn = alt.LayerChart | alt.VConcatChart


def items(chart: Drawn, kind: str, role: str = "mark", **signals: Any) -> list[dict[str, Any]]:
    """The items of one kind of mark; `signals` are set as a page would set them."""
    spec = chart.to_dict()
    for signal in spec["params"]:
        signal["value"] = signals.get(signal["name"], signal["value"])
    marks = _marks(_painted(json.dumps(spec)))
    return [item for mark in marks if (mark["marktype"], mark.get("role")) == (kind, role) for item in mark["items"]]


@cache
def _painted(spec: str) -> dict[str, Any]:
    """Many tests look at one chart."""
    scene: dict[str, Any] = vl_convert.vegalite_to_scenegraph(json.loads(spec))["scenegraph"]
    return scene


def texts(chart: Drawn, role: str = "mark", **signals: Any) -> list[str]:
    return [item["text"] for item in items(chart, "text", role, **signals)]


def _marks(mark: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield mark
    for item in mark["items"]:
        for child in item.get("items", []):
            yield from _marks(child)
