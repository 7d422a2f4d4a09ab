"""`make up` and `make down`: a Prefect server, a work pool with a worker, and the deployments of prefect.yaml."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import click
import httpx

from cli.local_prefect.defaults import VARIABLE, checked
from cli.local_prefect.services import Service
from shapebench.errors import ShapebenchError
from shapebench.spec.model import read

ROOT = Path(__file__).parents[2]
PREFECT = (sys.executable, "-m", "prefect")
POOL = "shapebench"
START_TIMEOUT_S = 180
LONGEST_COMPLAINT = 3000
SERVER = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_API_URL": "/api",  # else the pages ask port 4200, whatever the server's is
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # Who measures is not forgotten when the server is started again; who has died is noticed soon.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "5",
}
NEXT = """
Prefect UI:    {ui}
Measure now:   there, Deployments, ad-hoc, Run, Custom run: fill in the form and submit
Every night:   name your endpoint (make up SPEC=my.yaml), then set `active: true` in prefect.yaml, and make up again
In a shell:    export PREFECT_API_URL={ui}/api
Logs:          {logs}/server.log, {logs}/worker.log
Stop it:       make down
"""


class LocalPrefectError(ShapebenchError):
    """A service did not start, or the deployments could not be created."""


def server(port: int) -> Service:
    return Service("server", [*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port)], _home())


def worker() -> Service:
    return Service("worker", [*PREFECT, "worker", "start", "--pool", POOL, "--name", platform.node()], _home())


def _home() -> Path:
    return Path(os.environ.get("PREFECT_HOME", ROOT / ".prefect")).expanduser().absolute()


@click.group()
def main() -> None:
    """Prefect on this machine."""


spec_option = click.option(
    "--spec", type=click.Path(path_type=Path), help="A spec that becomes the deployments' defaults."
)


@main.command()
@click.option("--port", type=int, default=4200, show_default=True, help="Port of the server, on 127.0.0.1.")
@spec_option
def up(port: int, spec: Path | None) -> None:
    """Start what does not run yet, and deploy; it can be repeated."""
    defaults = checked(read(spec)) if spec else None
    ui = f"http://127.0.0.1:{port}"
    os.environ |= {"PREFECT_API_URL": f"{ui}/api", "PREFECT_HOME": str(_home())}
    _refuse_second_server(port)
    _ensure(server(port), SERVER, lambda: _answers(f"{ui}/api/health"))
    _deploy(defaults)
    now = datetime.now(UTC)
    _ensure(worker(), {}, lambda: _worker_is_alive(now))
    click.echo(NEXT.format(ui=ui, logs=_home()))


@main.command()
@spec_option
def deploy(spec: Path | None) -> None:
    """Deploy to the server that PREFECT_API_URL names, and start nothing."""
    _deploy(checked(read(spec)) if spec else None)


def _refuse_second_server(port: int) -> None:
    if server(port).runs:
        return
    if server(port).processes:
        raise LocalPrefectError(
            "The server runs already on another port, or an earlier one did not stop completely.",
            "Run `make down` first.",
        )
    if _answers(f"http://127.0.0.1:{port}/api/health"):
        raise LocalPrefectError(
            f"Another Prefect server answers on port {port}.", "Use another port: make up PORT=4201"
        )


def _ensure(service: Service, environment: dict[str, str], is_well: Callable[[], bool]) -> None:
    """Start the service, unless it runs, and wait until it is healthy."""
    if service.runs:
        click.echo(f"The {service.name} runs already")
        return
    click.echo(f"Starting the {service.name}")
    process, deadline_s = service.start(environment, ROOT), time.monotonic() + START_TIMEOUT_S
    while not is_well():
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline_s:
            what = "ended" if ended else f"was not there within {START_TIMEOUT_S} s"
            raise LocalPrefectError(f"The {service.name} {what}:\n{service.log_end()}", f"Its log is {service.log}.")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _worker_is_alive(since: datetime) -> bool:
    """Look for a heartbeat since then: Prefect counts a dead worker as online for a while."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        path = {"work_pool_name": POOL}
        answer = client.request("POST", "/work_pools/{work_pool_name}/workers/filter", path_params=path, json={})
    return any(datetime.fromisoformat(worker["last_heartbeat_time"]) > since for worker in answer.json())


def prepare(defaults: dict[str, object] | None) -> None:
    """Create the work pool, block types and variables that the deployments need; new defaults replace old ones."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.variables import Variable
    from prefect.workers.process import ProcessWorker

    from tasks.prefect.blocks import BLOCKS

    template = ProcessWorker.get_default_base_job_template()
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
    for block in BLOCKS.values():
        block.register_type_and_schema()
    if defaults:
        Variable.set(VARIABLE, defaults, overwrite=True)


def _deploy(defaults: dict[str, object] | None) -> None:
    click.echo("Making the work pool, block types and deployments")
    prepare(defaults)
    # prefect.yaml names the folder in which flows run by PWD.
    command, environment = [*PREFECT, "--no-prompt", "deploy", "--all"], os.environ | {"PWD": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        output = (done.stdout + done.stderr).strip()[-LONGEST_COMPLAINT:]
        raise LocalPrefectError(
            f"Deploying failed:\n{output}", f"Correct prefect.yaml, or the Prefect variable {VARIABLE}."
        )


@main.command()
def down() -> None:
    """Stop what `up` has started in this Prefect home, and nothing else."""
    for service in (worker(), server(0)):
        stopped = service.stop()
        click.echo(f"The {service.name} is stopped" if stopped else f"No {service.name} was running")


def run() -> int:
    try:
        main()
    except ShapebenchError as error:
        click.echo(str(error), err=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run())
