"""Well-known workloads by name; presets.yaml defines each of them and names its source."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

LENGTH_FIELDS = ("requests", "requests_per_stream", "duration_s", "until_precise")  # the fields that end a level


@dataclass(frozen=True)
class Preset:
    """Fields of a spec's sections `workload` and `load`, and where they come from."""

    about: str
    source: str
    workload: Mapping[str, object]
    load: Mapping[str, object]
    assumed: str | None = None  # values that the source leaves open


@cache
def presets() -> Mapping[str, Preset]:
    text = files("shapebench").joinpath("spec", "presets.yaml").read_text(encoding="utf-8")
    return {name: Preset(**fields) for name, fields in yaml.safe_load(text).items()}


def known_preset(name: str) -> str:
    """Return the name if there is such a preset; raises ValueError."""
    if name not in presets():
        raise ValueError(f"there is no such preset; the presets are {', '.join(presets())}")
    return name


def apply_preset(content: object) -> object:
    """Fill a spec's plain values from the preset that it names; invalid values are reported by the spec."""
    if not isinstance(content, dict):
        return content
    workload, load = content.get("workload", {}), content.get("load", {})
    if not (isinstance(workload, dict) and isinstance(load, dict)):
        return content
    name = workload.get("preset")
    preset = presets().get(name) if isinstance(name, str) else None
    if preset is None:
        return content
    length_is_given = any(load.get(field) is not None for field in LENGTH_FIELDS)
    below = {field: value for field, value in preset.load.items() if not (length_is_given and field in LENGTH_FIELDS)}
    return {**content, "workload": {"name": name, **preset.workload, **workload}, "load": {**below, **load}}
