"""OCI's metadata service: which shape this machine is."""

from typing import Any

import httpx

from shapebench.errors import ShapebenchError
from shapebench.runs.host import Instance

METADATA = "http://169.254.169.254/opc/v2/instance/"  # reachable from the instance itself only
HEADERS = {"Authorization": "Bearer Oracle"}  # the same for everybody: it keeps web pages from asking


class MetadataUnavailableError(ShapebenchError):
    """The machine is no OCI instance, or its metadata service does not answer."""


def instance(address: str = METADATA, timeout_s: float = 1) -> Instance:
    """The OCI instance that this runs on; raises MetadataUnavailableError."""
    try:
        answer = httpx.get(address, headers=HEADERS, timeout=timeout_s, trust_env=False)  # never by way of a proxy
        said = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        raise MetadataUnavailableError(
            f"The metadata service at {address} does not answer as OCI's does ({type(error).__name__})",
            "Ask on the OCI instance itself, or name the shape with --shape.",
        ) from None
    if not isinstance(said, dict) or not _text(said, "shape"):
        raise MetadataUnavailableError(f"What is at {address} names no shape", "Name the shape with --shape.")
    return _instance(said)


def _instance(said: dict[str, Any]) -> Instance:
    config = said.get("shapeConfig")
    size = config if isinstance(config, dict) else {}
    gpus = _number(size, "gpus")
    return Instance(
        shape=_text(said, "shape") or "",
        region=_text(said, "canonicalRegionName") or _text(said, "region"),
        image=_text(said, "image"),
        availability_domain=_text(said, "availabilityDomain"),
        ocpus=_number(size, "ocpus"),
        memory_gb=_number(size, "memoryInGBs"),
        gpus=None if gpus is None else int(gpus),
        processor=_text(size, "processorDescription"),
    )


def _text(said: dict[str, Any], name: str) -> str | None:
    value = said.get(name)
    return value if isinstance(value, str) and value else None


def _number(said: dict[str, Any], name: str) -> float | None:
    value = said.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
