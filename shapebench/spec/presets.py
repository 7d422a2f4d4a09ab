"""Workloads that people compare with, by name: catalogue/workloads.yaml has what each of them is, and who says so."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

HOW_LONG = ("requests", "requests_per_stream", "duration_s", "until_precise")  # what says when a level ends


@dataclass(frozen=True)
class Preset:
    """Fields of a spec's sections `workload` and `load`, and where they come from."""

    about: str
    source: str
    workload: dict[str, Any]
    load: dict[str, Any]
    assumed: str | None = None  # what the source leaves open


@cache
def presets() -> Mapping[str, Preset]:
    text = files("shapebench").joinpath("spec", "presets.yaml").read_text(encoding="utf-8")
    return {name: Preset(**fields) for name, fields in yaml.safe_load(text).items()}


def known(name: str) -> str:
    """The name, if there is a preset of it; raises ValueError."""
    if name not in presets():
        raise ValueError(f"there is no workload of this name, but {', '.join(presets())}")
    return name


def with_preset(content: Any) -> Any:
    """A spec's plain values over those of the preset that it names; what is wrong with them is left to the spec."""
    sections = {name: content.get(name, {}) for name in ("workload", "load")} if isinstance(content, dict) else {}
    if not sections or not all(isinstance(section, dict) for section in sections.values()):
        return content
    workload, load = sections["workload"], sections["load"]
    name = workload.get("preset")
    preset = presets().get(name) if isinstance(name, str) else None
    if preset is None:
        return content
    said = any(load.get(field) is not None for field in HOW_LONG)
    below = {field: value for field, value in preset.load.items() if not (said and field in HOW_LONG)}
    return {**content, "workload": {"name": name, **preset.workload, **workload}, "load": {**below, **load}}
