"""GPUs as nvidia-smi reports them."""

import os
from pathlib import Path

import pytest

from shapebench.probe.gpus import DriverError, gpus
from shapebench.runs.host import Gpu

A10 = "NVIDIA A10, 580.126.20, 23028, 210, 1695, 6251, 150.00, Enabled, [N/A]"
H100 = "NVIDIA H100 80GB HBM3, 580.126.20, 81559, 1980, 1980, 2619, 700.00, Enabled, Disabled"


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command of that name on PATH; tests write what it does."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "nvidia-smi"


def acts(command: Path, script: str) -> None:
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)


def test_each_gpu_is_a_row(nvidia_smi: Path) -> None:
    acts(nvidia_smi, f"cat <<'END'\n{A10}\n{H100}\nEND")
    first, second = gpus()
    assert first == Gpu("NVIDIA A10", "580.126.20", 23028, 210, 1695, 6251, 150.0, "Enabled", None)
    assert (second.name, second.memory_mib, second.mig) == ("NVIDIA H100 80GB HBM3", 81559, "Disabled")


def test_it_is_asked_for_its_fields_without_units(nvidia_smi: Path) -> None:
    acts(nvidia_smi, f"echo \"$@\" > {nvidia_smi.parent}/asked\necho '{A10}'")
    gpus()
    query, form = (nvidia_smi.parent / "asked").read_text().split()
    assert query.startswith("--query-gpu=name,driver_version,memory.total,clocks.current.sm,clocks.max.sm,")
    assert form == "--format=csv,noheader,nounits"


def test_what_the_driver_does_not_know_is_none(nvidia_smi: Path) -> None:
    acts(nvidia_smi, "echo 'NVIDIA GB10, 580.95.05, [N/A], [Unknown Error], huh, 1, [Not Supported], [N/A], [N/A]'")
    (found,) = gpus()
    assert found == Gpu("NVIDIA GB10", "580.95.05", None, None, None, 1, None, None, None)


def test_where_there_is_no_command_there_are_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus() == ()


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (
            'echo "NVIDIA-SMI has failed because it couldn\'t communicate with the NVIDIA driver."; exit 9',
            "code 9: NVIDIA-SMI",
        ),
        ("exit 1", "code 1: no message"),
        ("echo 'NVIDIA A10, 580'", "returned 2 fields instead of 9"),
        ("exec sleep 5", "does not answer"),
    ],
)
def test_a_command_that_fails_says_so(nvidia_smi: Path, script: str, problem: str) -> None:
    acts(nvidia_smi, script)
    with pytest.raises(DriverError, match=problem):
        gpus(timeout_s=0.5)
