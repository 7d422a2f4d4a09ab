"""Secrets out of Prefect blocks and environments do their work, and are found nowhere afterwards."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from cli.local_prefect.own_server import free_port
from shapebench.results import database
from shapebench.test_servers.simulator.process import running_simulator
from tests import flow_runs, oci_lookalike
from tests.conftest import MODEL, ROOT, BroughtUp, Finished, Shell, ended
from tests.oci_lookalike import REGION, TENANCY, USER, ObjectStorage, fingerprint, new_key, register, write_key

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

KEY, OTHER_KEY, ENVIRONMENTS_KEY, PASS_PHRASE = (f"sk-{token_hex(12)}" for _ in range(4))
HEADER, ENVIRONMENTS_HEADER = (f"x{token_hex(12)}" for _ in range(2))  # values of headers, which no shape tells
LAUNCH_SECRETS = [f"x{token_hex(12)}" for _ in range(7)]  # of no known shape: only their names and places say so
MAKE_BLOCKS = """
import json, sys
from tasks.prefect.blocks import EndpointKey, OciCredentials

given = json.load(sys.stdin)
for name, key in given["keys"].items():
    EndpointKey(api_key=key).save(name)
OciCredentials(**given["oci"]).save("ours")
"""


@dataclass(frozen=True)
class Used:
    """Runs that used secrets: how they ended, and all that they can have written to."""

    states: dict[str, dict[str, Any]]
    in_a_shell: Finished
    processes: str
    data: Path
    storage: ObjectStorage
    brought_up: BroughtUp
    private_key: str

    @property
    def secrets(self) -> list[str]:
        return [
            KEY,
            OTHER_KEY,
            ENVIRONMENTS_KEY,
            PASS_PHRASE,
            HEADER,
            ENVIRONMENTS_HEADER,
            *self.private_key.splitlines()[1:-1],
        ]


def make_blocks(brought_up: BroughtUp, content: dict[str, Any]) -> None:
    environment = {**brought_up.environment, "PREFECT_API_URL": brought_up.api}
    command, given = [sys.executable, "-c", MAKE_BLOCKS], json.dumps(content)
    subprocess.run(command, env=environment, cwd=ROOT, input=given, text=True, check=True, timeout=60)


def credentials(storage: ObjectStorage, file: Path) -> dict[str, str]:
    key = new_key()
    register(storage, key)
    write_key(file, key, PASS_PHRASE)
    return {
        "user": USER,
        "tenancy": TENANCY,
        "fingerprint": fingerprint(key),
        "region": REGION,
        "key_content": file.read_text(encoding="utf-8"),
        "pass_phrase": PASS_PHRASE,
    }


@pytest.fixture(scope="module")
def used(brought_up: BroughtUp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Used]:
    data = tmp_path_factory.mktemp("data")
    with running_simulator("fast", api_key=KEY) as url, oci_lookalike.running() as storage:
        ours = credentials(storage, tmp_path_factory.mktemp("key") / "key.pem")
        make_blocks(brought_up, {"keys": {"right": KEY, "wrong": OTHER_KEY, "header": HEADER}, "oci": ours})
        bucket = {"bucket": "reports", "service_endpoint": storage.endpoint}
        publish = {"oci": {**bucket, "auth": "block", "credentials_block": "ours"}}

        def start(key_block: str) -> str:
            endpoint = {"url": url, "model": MODEL, "api_key_block": key_block, "ready_timeout_s": 5}
            endpoint |= {"headers": {"x-tenant": "block:header"}}
            load = {"levels": [2], "duration_s": 5, "calibrate": False}
            spec = {"endpoint": endpoint, "load": load, "publish": publish, "data": str(data)}
            return brought_up.start("ad-hoc", {"spec": spec})

        run = start("right")
        flow_runs.wait_until(lambda: flow_runs.is_measured(data, 2))
        processes = flow_runs.seen_by_others(f"worker {brought_up.environment['PREFECT_HOME']}")
        states = {"right": ended(run)} | {block: ended(start(block)) for block in ("wrong", "none")}
        in_a_shell = launched_and_measured(brought_up, data)
        yield Used(states, in_a_shell, processes, data, storage, brought_up, ours["key_content"])


def launched_and_measured(brought_up: BroughtUp, data: Path) -> Finished:
    """A run in a shell, whose server it starts itself, with the key in the environment."""
    port = free_port()
    launch = with_secrets(f"exec {sys.executable} -m shapebench.test_servers.simulator --preset fast --port {port}")
    endpoint = {"url": f"http://127.0.0.1:{port}", "model": MODEL, "launch": launch, "headers": {"x-tenant": "TENANT"}}
    load = {"levels": [1], "requests": 8, "calibrate": False}
    file = data.with_name("spec.yaml")
    file.write_text(json.dumps({"endpoint": endpoint, "load": load, "data": str(data)}), encoding="utf-8")
    secrets = {"SHAPEBENCH_API_KEY": ENVIRONMENTS_KEY, "TENANT": ENVIRONMENTS_HEADER}
    environment = {**brought_up.environment, "PREFECT_API_URL": brought_up.api, **secrets}
    return Shell(environment).run("run", str(file), "--verbose")


def with_secrets(script: str) -> str:
    """Add secrets of all kinds to a command line; the shell ignores what follows the script."""
    hf, aws_id, aws_key, header, password, key, key_2 = LAUNCH_SECRETS
    variables = f"env HF_TOKEN={hf} AWS_ACCESS_KEY_ID={aws_id} AWS_SECRET_ACCESS_KEY={aws_key}"
    options = f"--header 'Authorization: Bearer {header}' --passwd {password} --api-key {key} {key_2}"
    printed = f'echo "args: --api-key {key} {key_2}"'
    return f"{variables} sh -c {shlex.quote(f'{printed}; {script}')} sh {options}"


def test_a_key_in_a_block_opens_the_endpoint_and_credentials_in_a_block_the_bucket(used: Used) -> None:
    assert used.states["right"]["type"] == "COMPLETED", used.states["right"]
    assert any(name.endswith("/index.html") for name in used.storage.buckets["reports"])


def test_a_run_in_a_shell_takes_the_key_of_its_environment(used: Used) -> None:
    assert used.in_a_shell.code == 0, used.in_a_shell.stderr


def test_a_key_that_is_refused_is_named_by_its_block(used: Used) -> None:
    said = used.states["wrong"]["message"]
    assert (used.states["wrong"]["type"], "the Prefect block wrong" in said) == ("FAILED", True), said


def test_a_block_that_is_not_there_is_named_with_its_field(used: Used) -> None:
    said = used.states["none"]["message"]
    assert "endpoint.api_key_block is none, but Prefect has no block of that name" in said


def told(path: str) -> Callable[[Used], str]:
    """All that Prefect's API tells of something."""
    return lambda used: httpx.post(f"{used.brought_up.api}/{path}", json={}).raise_for_status().text


def files(folder: Path, name: str = "*") -> str:
    """Whatever is in them, byte for byte."""
    return "".join(file.read_bytes().decode("latin-1") for file in sorted(folder.rglob(name)) if file.is_file())


def tables(used: Used) -> str:
    """DuckDB's file is compressed: what its tables and views say, row by row."""
    names = database.query(
        used.data, "SELECT table_schema || '.' || table_name AS name FROM information_schema.tables"
    ).to_pylist()
    return "".join(str(database.query(used.data, f"FROM {n['name']}").to_pylist()) for n in names)


def samples(used: Used) -> str:
    tables = [pq.read_table(file) for file in used.data.rglob("*.parquet")]
    return "".join(f"{table.schema.metadata}{table.to_pylist()}" for table in tables)


def objects(used: Used) -> str:
    return "".join(stored.content.decode("latin-1") for stored in used.storage.buckets["reports"].values())


# Where to look, and what is found there, lest we look in the wrong place.
PLACES: dict[str, tuple[Callable[[Used], str], str]] = {
    "arguments and environments of what measures": (lambda used: used.processes, "shapebench.load"),
    "a terminal": (lambda used: used.in_a_shell.stdout + used.in_a_shell.stderr, "answers, and serves"),
    "the log of a server that was started": (lambda used: files(used.data, "server.log"), "127.0.0.1"),
    "run.json": (lambda used: files(used.data, "run.json"), '"api_key_block": "right"'),
    "logs": (lambda used: flow_runs.logs(used.brought_up.api), "the Prefect block wrong"),
    "flow runs and their parameters": (told("flow_runs/filter"), MODEL),
    "task runs": (told("task_runs/filter"), "publish"),
    "artifacts": (told("artifacts/filter"), "verdict"),
    "events": (told("events/filter"), "prefect.flow-run"),
    "blocks, as they are shown": (told("block_documents/filter"), "ours"),
    "deployments": (told("deployments/filter"), "ad-hoc"),
    "Prefect's files, its database and logs among them": (lambda u: files(home(u)), "Exclusive use by"),
    "the data folder's files": (lambda u: files(u.data), MODEL),
    "the results' tables": (tables, MODEL),
    "raw samples": (samples, MODEL),
    "the published report": (objects, MODEL),
}
# Prefect keeps the parameters of a flow run as they are given, the launch command of its spec among them.
KEPT_BY_PREFECT = {"flow runs and their parameters", "Prefect's files, its database and logs among them"}


def home(used: Used) -> Path:
    return Path(used.brought_up.environment["PREFECT_HOME"])


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_found_in(used: Used, place: str) -> None:
    look, there = PLACES[place]
    found = look(used)
    assert there in found
    secrets = used.secrets if place in KEPT_BY_PREFECT else [*used.secrets, *LAUNCH_SECRETS]
    assert [secret for secret in secrets if secret in found] == []
