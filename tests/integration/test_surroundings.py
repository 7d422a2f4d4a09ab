"""Surroundings that people really have: a proxy, a Prefect server that is gone, a home that cannot be written."""

from pathlib import Path

import pytest

from cli.local_prefect.own_server import free_port
from tests.conftest import MODEL, Finished, Shell

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

LOAD = ("--levels", "1", "--requests", "5", "--no-calibrate", "--input-tokens", "40", "--output-tokens", "5", "--json")


def run(simulator: str, data: Path, **environment: str) -> Finished:
    home = {"PREFECT_HOME": str(data / "prefect"), "PREFECT_API_URL": ""}
    shell = Shell({**home, **environment})
    return shell.run("run", "--url", simulator, "--model", MODEL, "--data", str(data / "data"), *LOAD)


def test_the_run_s_own_prefect_server_is_reached_without_a_proxy(simulator: str, tmp_path: Path) -> None:
    proxy = f"http://127.0.0.1:{free_port()}"
    done = run(simulator, tmp_path, HTTP_PROXY=proxy, HTTPS_PROXY=proxy)
    assert (done.code, "Traceback" in done.stderr) == (0, False), done.stderr


def test_a_prefect_api_that_leads_nowhere_is_named_with_a_remedy(simulator: str, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    done = run(simulator, tmp_path, PREFECT_API_URL=url)
    assert (done.code, "Traceback" in done.stderr) == (1, False), done.stderr
    assert f"The Prefect API at {url} does not answer" in done.stderr
    assert "PREFECT_API_URL" in done.stderr.partition("What to do:")[2]


def test_a_home_that_cannot_be_written_is_named_with_the_variable(simulator: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    home = tmp_path / "file" / "home"
    done = run(simulator, tmp_path, HOME=str(home), PREFECT_HOME=str(home / ".prefect"))
    assert (done.code, "Traceback" in done.stderr) == (1, False), done.stderr
    assert f"{home / '.prefect'} cannot be written" in done.stderr
    assert "Set PREFECT_HOME" in done.stderr


def test_a_cache_folder_that_cannot_be_written_is_named_with_the_variable(simulator: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(simulator, tmp_path, XDG_CACHE_HOME=str(tmp_path / "file" / "cache"))
    assert (done.code, "Traceback" in done.stderr) == (1, False), done.stderr
    assert "Set XDG_CACHE_HOME" in done.stderr
