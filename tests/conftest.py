"""Real parts: a Prefect server, the simulator, the command line in a process of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from shapebench.simulator.presets import LLAMA
from shapebench.simulator.process import running
from terminal.own_server import free_port
from terminal.run import SETTINGS

ROOT = Path(__file__).parents[1]
MODEL = LLAMA
SERVER_START_S = 120


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


class Shell:
    """Runs `shapebench …` as people do, with a Prefect home of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = {**os.environ, **SETTINGS, **environment}

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "shapebench.cli", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, env=self.environment, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def run(self, *arguments: str, timeout_s: float = 240) -> Finished:
        with self.start(*arguments) as process:
            stdout, stderr = process.communicate(timeout=timeout_s)
            return Finished(process.returncode, stdout, stderr)


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture(scope="session")
def prefect_server(prefect_home: Path) -> Iterator[str]:
    """The address of a real Prefect server's API."""
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    environment = {**os.environ, **SETTINGS, "PREFECT_HOME": str(prefect_home)}
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui"]
    with (prefect_home / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until_answers(f"{api}/health", process)
        yield api
    finally:
        process.terminate()
        process.wait(30)


def wait_until_answers(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline_s = time.monotonic() + SERVER_START_S
    while time.monotonic() < deadline_s:
        assert process.poll() is None, "the Prefect server ended"
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    pytest.fail(f"{url} did not answer within {SERVER_START_S} s")


@pytest.fixture(scope="session")
def shell(prefect_server: str, prefect_home: Path) -> Shell:
    return Shell({"PREFECT_API_URL": prefect_server, "PREFECT_HOME": str(prefect_home)})


@pytest.fixture(scope="session")
def simulator() -> Iterator[str]:
    """The address of a fast simulator."""
    with running("fast") as url:
        yield url
