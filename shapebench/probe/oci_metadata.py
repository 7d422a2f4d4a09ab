"""OCI's metadata service: which shape this machine is."""

import httpx

from shapebench.errors import ShapebenchError
from shapebench.runs.host import Instance

METADATA = "http://169.254.169.254/opc/v2/instance/"  # reachable from the instance itself only
HEADERS = {"Authorization": "Bearer Oracle"}  # the same for everybody: it keeps web pages from reading it


class MetadataUnavailableError(ShapebenchError):
    """The machine is no OCI instance, or its metadata service does not answer."""


def instance(address: str = METADATA, timeout_s: float = 1) -> Instance:
    """Read which OCI instance this is; raises MetadataUnavailableError."""
    try:
        response = httpx.get(address, headers=HEADERS, timeout=timeout_s, trust_env=False)  # never through a proxy
        content = response.raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        raise MetadataUnavailableError(
            f"The metadata service at {address} did not answer like OCI's ({type(error).__name__})",
            "Run this on the OCI instance itself, or set the shape with --shape.",
        ) from None
    if not isinstance(content, dict) or not _text(content, "shape"):
        raise MetadataUnavailableError(f"The answer of {address} has no shape", "Set the shape with --shape.")
    return _instance(content)


def _instance(content: dict[str, object]) -> Instance:
    config = content.get("shapeConfig")
    size = config if isinstance(config, dict) else {}
    gpus = _number(size, "gpus")
    return Instance(
        shape=_text(content, "shape") or "",
        region=_text(content, "canonicalRegionName") or _text(content, "region"),
        image=_text(content, "image"),
        availability_domain=_text(content, "availabilityDomain"),
        ocpus=_number(size, "ocpus"),
        memory_gb=_number(size, "memoryInGBs"),
        gpus=None if gpus is None else int(gpus),
        processor=_text(size, "processorDescription"),
    )


def _text(content: dict[str, object], name: str) -> str | None:
    value = content.get(name)
    return value if isinstance(value, str) and value else None


def _number(content: dict[str, object], name: str) -> float | None:
    value = content.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
