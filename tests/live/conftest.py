"""Real servers on this machine, each started when a test first asks for it, and ended with the file."""

import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from cli.local_prefect.own_server import free_port
from shapebench.probe.launch import launched
from tests.conftest import ROOT

VLLM, LITELLM, LLAMA_CPP = (ROOT / name for name in (".venv-vllm", ".venv-litellm", ".venv-llama-cpp"))
TINY = VLLM / "models" / "tiny"
GGUF = LLAMA_CPP / "models" / "tiny.gguf"
START_S = 400  # next to other tests, vLLM takes minutes
KEY = f"sk-{secrets.token_hex(24)}"


@dataclass(frozen=True)
class Running:
    """A server that answers, the name of its model, and what a client needs in its environment."""

    url: str
    model: str
    log: Path
    environment: dict[str, str] = field(default_factory=dict)


def installed(path: Path, command: str) -> None:
    if not path.exists():
        pytest.skip(f"not set up here: type `{command}`")


def example() -> dict[str, Any]:
    """Return the spec of `make demo-vllm`, on a free port."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "vllm-cpu.yaml").read_text(encoding="utf-8"))
    port, taken = str(free_port()), content["endpoint"]["url"].rpartition(":")[2]
    content["endpoint"]["url"] = f"http://127.0.0.1:{port}"
    content["endpoint"]["launch"] = content["endpoint"]["launch"].replace(taken, port)
    return content


@contextmanager
def started(command: str, log: Path, health: str, environment: dict[str, str] | None = None) -> Iterator[None]:
    """Run a server while the block runs, as a run does that launches its own."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.chdir(ROOT)
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        raise_if_ended = stack.enter_context(launched(command, log))
        deadline_s = time.monotonic() + START_S
        while not answers(health):
            raise_if_ended()
            assert time.monotonic() < deadline_s, log.read_text(errors="replace")[-2000:]
            time.sleep(0.2)
        yield


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def vllm(folder: Path) -> Iterator[Running]:
    """Serve the example's model as the example does."""
    installed(TINY / "config.json", "make vllm (3.5 GB, a few minutes)")
    endpoint, log = example()["endpoint"], folder / "vllm.log"
    with started(endpoint["launch"], log, f"{endpoint['url']}/health"):
        yield Running(endpoint["url"], endpoint["model"], log)


@pytest.fixture(scope="module")
def litellm(vllm: Running, folder: Path) -> Iterator[Running]:
    """Serve vLLM's model through LiteLLM's proxy, which wants a key."""
    installed(LITELLM / "ready", "make servers")
    settings = {"model": f"hosted_vllm/{vllm.model}", "api_base": f"{vllm.url}/v1", "api_key": "none"}
    config = folder / "litellm.yaml"
    config.write_text(yaml.safe_dump({"model_list": [{"model_name": vllm.model, "litellm_params": settings}]}))
    url, log = f"http://127.0.0.1:{(port := free_port())}", folder / "litellm.log"
    command = f"{LITELLM}/bin/litellm --config {config} --host 127.0.0.1 --port {port}"
    offline = {"LITELLM_MASTER_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "*"}
    with started(command, log, f"{url}/health/liveliness", offline):
        yield Running(url, vllm.model, log, {"SHAPEBENCH_API_KEY": KEY})


@pytest.fixture(scope="module")
def transformers(folder: Path) -> Iterator[Running]:
    """Serve the same model with `transformers serve`, which knows it by its folder."""
    installed(TINY / "config.json", "make servers")
    url, log = f"http://127.0.0.1:{(port := free_port())}", folder / "transformers.log"
    command = f"{VLLM}/bin/transformers serve {TINY} --host 127.0.0.1 --port {port}"
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub"), "PYTHONSAFEPATH": "1"}
    with started(command, log, f"{url}/health", offline):
        yield Running(url, str(TINY), log)


@pytest.fixture(scope="module")
def llama_cpp(folder: Path) -> Iterator[Running]:
    """Serve a model of its own with llama-cpp-python's server."""
    installed(GGUF, "make llama-cpp (compiles for minutes)")
    url, log = f"http://127.0.0.1:{(port := free_port())}", folder / "llama_cpp.log"
    command = f"{LLAMA_CPP}/bin/python -m llama_cpp.server --model {GGUF} --model_alias tiny --host 127.0.0.1"
    settings = "--n_ctx 4096 --n_threads 1 --interrupt_requests false"  # or a new request ends the one before
    with started(f"{command} --port {port} {settings}", log, f"{url}/v1/models"):
        yield Running(url, "tiny", log)
