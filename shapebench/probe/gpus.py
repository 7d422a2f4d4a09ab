"""GPUs of this machine, as nvidia-smi reports them."""

import csv
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

from shapebench.errors import ShapebenchError
from shapebench.runs.host import Gpu

REMEDY = "Repair or reinstall the NVIDIA driver."


class DriverError(ShapebenchError):
    """nvidia-smi fails, or reports something unexpected."""


def _integer(text: str) -> int:
    return int(float(text))


# Each field by its name in nvidia-smi, with the function that reads it.
QUERY: dict[str, tuple[str, Callable[[str], Any]]] = {
    "name": ("name", str),
    "driver_version": ("driver_version", str),
    "memory_mib": ("memory.total", _integer),
    "sm_clock_mhz": ("clocks.current.sm", _integer),
    "sm_clock_max_mhz": ("clocks.max.sm", _integer),
    "memory_clock_max_mhz": ("clocks.max.memory", _integer),
    "power_limit_w": ("power.limit", float),
    "ecc": ("ecc.mode.current", str),
    "mig": ("mig.mode.current", str),
}


def gpus(timeout_s: float = 10) -> tuple[Gpu, ...]:
    """List the GPUs of this machine; none without nvidia-smi. Raises DriverError where it fails."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    fields = ",".join(name for name, _ in QUERY.values())
    query = [command, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        ended = subprocess.run(query, capture_output=True, text=True, timeout=timeout_s, check=True)
    except subprocess.CalledProcessError as error:
        lines = f"{error.stdout}\n{error.stderr}".splitlines()
        message = next((line for line in lines if line.strip()), "no message")
        raise DriverError(f"nvidia-smi failed with code {error.returncode}: {message}", REMEDY) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DriverError(f"nvidia-smi does not answer ({type(error).__name__})", REMEDY) from None
    rows = [row for row in csv.reader(ended.stdout.splitlines(), skipinitialspace=True) if row]
    return tuple(_gpu(row) for row in rows)


def _gpu(row: list[str]) -> Gpu:
    if len(row) != len(QUERY):
        raise DriverError(f"nvidia-smi returned {len(row)} fields instead of {len(QUERY)}", REMEDY)
    return Gpu(**{field: _read(read, text) for (field, (_, read)), text in zip(QUERY.items(), row, strict=True)})


def _read(read: Callable[[str], Any], text: str) -> Any:
    """Read a field; None for "[N/A]" and the like."""
    if text.startswith("["):
        return None
    try:
        return read(text)
    except ValueError:
        return None
