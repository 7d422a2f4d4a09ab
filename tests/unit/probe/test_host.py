"""On what a server runs: asked where it is this machine, kept with the run, and shown in its report."""

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from shapebench.errors import ShapebenchError
from shapebench.probe.host import ADDRESS, detect_shape, find_command, inspect_host, revision
from shapebench.probe.probe import probe
from shapebench.report.pages.origin import origin
from shapebench.runs.host import Gpu, Host, Instance
from shapebench.runs.records import ServerFacts
from shapebench.runs.run_file import RunFile, begin, load, save
from shapebench.spec.model import UNKNOWN_SHAPE, Endpoint, Spec, parse
from shapebench.test_servers.simulator.process import running_simulator
from tests.level_sample import FACTS
from tests.report_sample import run
from tests.route_server import MODEL, healthy, serving, table

A10 = "NVIDIA A10, 580.126.20, 23028, 210, 1695, 6251, 150.00, Enabled, [N/A]"
METADATA = {
    "shape": "VM.GPU.A10.1",
    "canonicalRegionName": "eu-frankfurt-1",
    "image": "ocid1.image.oc1.eu-frankfurt-1.x",
    "shapeConfig": {"ocpus": 15, "memoryInGBs": 240, "gpus": 1},
}
REVISION = "0cb88a4f764b7a12671c53f0838cd831a0843b95"


@pytest.fixture
def on_oci(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine is an instance with an A10."""
    with serving(table({"GET /opc/v2/instance/": (200, METADATA)})) as served:
        monkeypatch.setenv(ADDRESS, f"{served.url}/opc/v2")
        yield


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers for metadata, and there is no nvidia-smi."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv(ADDRESS, f"http://127.0.0.1:{port}/opc/v2")
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def a10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\necho '{A10}'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


def endpoint(url: str = "http://127.0.0.1:9", *, here: bool = True, shape: str = UNKNOWN_SHAPE) -> Endpoint:
    return Endpoint(url=url, model=MODEL, shape=shape, on_this_machine=here)


def spec(data: Path, *, here: bool = True, shape: str = UNKNOWN_SHAPE) -> Spec:
    return Spec(endpoint=endpoint(here=here, shape=shape), data=data)


@pytest.mark.usefixtures("on_oci", "a10")
def test_instance_and_gpus_are_what_the_machine_says() -> None:
    host = inspect_host(endpoint())
    assert (host.instance and host.instance.region, host.instance and host.instance.gpus) == ("eu-frankfurt-1", 1)
    assert host.gpus == (Gpu("NVIDIA A10", "580.126.20", 23028, 210, 1695, 6251, 150.0, "Enabled", None),)


@pytest.mark.usefixtures("on_oci", "a10")
def test_nothing_is_asked_where_the_server_runs_elsewhere() -> None:
    assert inspect_host(endpoint(here=False)) == Host()


@pytest.mark.usefixtures("elsewhere")
def test_what_is_not_there_is_noted_and_no_error() -> None:
    host = inspect_host(endpoint())
    assert (host.instance, host.gpus, host.command) == (None, (), None)
    assert [text.split()[0] for text in host.unknown] == ["The", "nvidia-smi", "The"]


@pytest.mark.usefixtures("on_oci")
def test_a_run_whose_shape_is_not_given_has_the_one_of_the_metadata(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "shapebench"):
        assert detect_shape(spec(tmp_path)).endpoint.shape == "VM.GPU.A10.1"
    assert "this machine is a VM.GPU.A10.1, by OCI's metadata service" in caplog.text


@pytest.mark.usefixtures("on_oci")
@pytest.mark.parametrize(("here", "shape"), [(True, "VM.GPU.A10.2"), (False, UNKNOWN_SHAPE)])
def test_a_shape_that_is_given_or_elsewhere_stays(tmp_path: Path, *, here: bool, shape: str) -> None:
    assert detect_shape(spec(tmp_path, here=here, shape=shape)).endpoint.shape == shape


@pytest.mark.usefixtures("elsewhere")
def test_a_shape_that_nobody_names_stays_unknown_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "shapebench"):
        assert detect_shape(spec(tmp_path)).endpoint.shape == UNKNOWN_SHAPE
    assert "did not answer like OCI's" in caplog.text


@pytest.mark.slow
@pytest.mark.usefixtures("on_oci", "a10")
def test_the_probe_keeps_it_and_the_servers_arguments_without_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHAPEBENCH_API_KEY", "hush")
    with running_simulator("fast", api_key="hush") as url:
        host = probe(Spec(endpoint=endpoint(url))).host
    assert host.instance
    assert host.gpus
    assert host.command
    assert "-m shapebench.test_servers.simulator" in host.command
    assert "--preset fast" in host.command
    assert "hush" not in host.command


@pytest.mark.usefixtures("elsewhere")
def test_a_port_where_nobody_listens_has_no_command() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ShapebenchError, match=f"port {port}"):
        find_command(f"http://127.0.0.1:{port}")


def test_the_command_of_a_listener_is_found() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        assert psutil.Process().cmdline()[0] in find_command(f"http://127.0.0.1:{listener.getsockname()[1]}")


@pytest.mark.parametrize(
    ("root", "command", "found"),
    [
        (f"/root/.cache/huggingface/hub/models--m/snapshots/{REVISION}", None, REVISION),
        ("m", "vllm serve m --revision main --port 8000", "main"),
        ("m", f"vllm serve m --revision={REVISION}", REVISION),
        ("m", "vllm serve m --tokenizer-revision main", None),
        (None, None, None),
    ],
)
def test_the_models_revision_is_known_where_a_folder_or_a_command_names_it(
    root: str | None, command: str | None, found: str | None
) -> None:
    assert revision(root, command) == found


def test_where_the_server_has_the_model_from_is_what_it_says() -> None:
    models = {"data": [{"id": MODEL, "owned_by": "vllm", "max_model_len": 4096, "root": f"/m/snapshots/{REVISION}"}]}
    with serving(table(healthy(GET_v1__models=(200, models)))) as served:
        facts = probe(parse({"endpoint": {"url": served.url, "model": MODEL}}))
    assert (facts.root, facts.revision) == (f"/m/snapshots/{REVISION}", REVISION)


GPU = Gpu("NVIDIA A10", "580.126.20", 23028, None, None, None, 150.0, "Enabled", None)
HOST = Host(Instance("VM.GPU.A10.2", region="eu-frankfurt-1"), (GPU, GPU), "vllm serve m", ("No more",))


def test_it_is_read_back_with_the_run(tmp_path: Path) -> None:
    begun = begin(spec(tmp_path, here=False))
    facts = ServerFacts(**{**vars(FACTS), "host": HOST})
    save(RunFile(begun, facts))
    assert load(tmp_path, begun.run_id).facts == facts


def shown(host: Host) -> list[tuple[str, str]]:
    """What the report's table of the server has beyond the usual."""
    usual, asked = (
        origin(run(facts=facts))["settings"]["Server"] for facts in ({}, {"host": json.loads(json.dumps(asdict(host)))})
    )
    return [row for row in asked if row not in usual]


def test_the_report_shows_it_and_gpus_that_are_alike_together() -> None:
    assert shown(HOST) == [
        ("Shape (OCI metadata)", "VM.GPU.A10.2"),
        ("Region", "eu-frankfurt-1"),
        ("GPU (driver)", "2 x NVIDIA A10, driver 580.126.20, 23,028 MiB, power limit 150 W, ECC Enabled"),
        ("Command line", "vllm serve m"),
        ("Unknown", "No more"),
    ]


def test_the_report_shows_the_settings_that_vllm_tells_of_its_cache() -> None:
    identity = {"gpu_memory_utilization": "0.92", "num_gpu_blocks": "None", "its start": "2026-07-14 02:41:00 UTC"}
    rows = origin(run(facts={"identity": identity}))["settings"]["Server"]
    assert ("Share of GPU memory used", "0.92") in rows
    assert not {"KV cache, blocks", "Its start"} & {name for name, _ in rows}


def test_the_report_says_nothing_of_a_machine_that_was_not_asked() -> None:
    assert shown(Host()) == []
