"""What a machine says of itself: OCI's metadata service, and NVIDIA's driver. Only asked when somebody wants it."""

import csv
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import httpx

from shapebench.errors import ShapebenchError
from shapebench.runs.host import Gpu, Instance

METADATA = "http://169.254.169.254/opc/v2/instance/"  # reachable from the instance itself only
HEADERS = {"Authorization": "Bearer Oracle"}  # the same for everybody: it keeps web pages from asking


class MetadataUnavailableError(ShapebenchError):
    """The machine is no OCI instance, or its metadata service does not answer."""


class DriverError(ShapebenchError):
    """nvidia-smi is there, but cannot say what it was asked."""


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


def _whole(text: str) -> int:
    return int(float(text))


# What nvidia-smi calls each field, and how it is read.
QUERY: dict[str, tuple[str, Callable[[str], Any]]] = {
    "name": ("name", str),
    "driver_version": ("driver_version", str),
    "memory_mib": ("memory.total", _whole),
    "sm_clock_mhz": ("clocks.current.sm", _whole),
    "sm_clock_max_mhz": ("clocks.max.sm", _whole),
    "memory_clock_max_mhz": ("clocks.max.memory", _whole),
    "power_limit_w": ("power.limit", float),
    "ecc": ("ecc.mode.current", str),
    "mig": ("mig.mode.current", str),
}


def gpus(timeout_s: float = 10) -> tuple[Gpu, ...]:
    """The GPUs of this machine; none where there is no nvidia-smi. Raises NoDriver where it fails."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    fields = ",".join(name for name, _ in QUERY.values())
    asked = [command, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        ended = subprocess.run(asked, capture_output=True, text=True, timeout=timeout_s, check=True)
    except subprocess.CalledProcessError as error:
        lines = f"{error.stdout}\n{error.stderr}".splitlines()
        said = next((line for line in lines if line.strip()), "without a word")
        raise DriverError(f"nvidia-smi failed with code {error.returncode}: {said}", "Mend the driver.") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DriverError(f"nvidia-smi does not answer ({type(error).__name__})", "Mend the driver.") from None
    rows = [row for row in csv.reader(ended.stdout.splitlines(), skipinitialspace=True) if row]
    return tuple(_gpu(row) for row in rows)


def _gpu(row: list[str]) -> Gpu:
    if len(row) != len(QUERY):
        raise DriverError(f"nvidia-smi gave {len(row)} fields where {len(QUERY)} were asked for", "Update the driver.")
    return Gpu(**{field: _read(read, text) for (field, (_, read)), text in zip(QUERY.items(), row, strict=True)})


def _read(read: Callable[[str], Any], text: str) -> Any:
    """None for "[N/A]" and its like."""
    if text.startswith("["):
        return None
    try:
        return read(text)
    except ValueError:
        return None
