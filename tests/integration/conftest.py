"""One run of the main job, which the tests of a good run read; commands in the process of the tests."""

from pathlib import Path

import pytest

from tests.conftest import MODEL, Finished, Shell
from tests.in_process import FlowsInProcess

LEVELS = [1, 2, 4]
REQUESTS = 24


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the run."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def finished(shell: Shell, simulator: str, data: Path) -> Finished:
    """The run, with all that it logs on stderr."""
    levels = ",".join(map(str, LEVELS))
    where = ("--url", simulator, "--model", MODEL, "--shape", "VM.TEST.1", "--data", str(data))
    return shell.run("run", *where, "--levels", levels, "--requests", str(REQUESTS), "--verbose", "--json")


@pytest.fixture(scope="session")
def here(shell: Shell) -> FlowsInProcess:
    """Commands in the process of the tests, with the same Prefect server; reports have blank pictures."""
    return FlowsInProcess(shell.environment)
