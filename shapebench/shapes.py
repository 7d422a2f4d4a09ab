"""What is known of compute shapes, from the files in catalogue/."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml


def memory_bandwidth_bytes_per_s(shape: str) -> float | None:
    """How fast all GPUs of a shape together read their memory at best; None where the shape is not known.

    What follows a shape's name, as in "VM.GPU.A10.1 (simulated)", does not count.
    """
    known = _catalogue()
    by_name = {name.lower(): has for name, has in known["shapes"].items()}
    has = by_name.get(shape.partition(" ")[0].lower())
    return None if has is None else float(known["gpus"][has["gpu"]]["memory_bandwidth_gb_per_s"] * has["gpus"] * 1e9)


@cache
def _catalogue() -> dict[str, Any]:
    text = files("shapebench").joinpath("catalogue", "oci.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content
