"""Checks of a set-up, each with a remedy."""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console

from flows.prefect_settings import set_defaults
from shapebench.apis.profile import describe
from shapebench.apis.table import APIS
from shapebench.errors import ShapebenchError
from shapebench.probe.client import Client
from shapebench.probe.endpoint_errors import EndpointTimeoutError, NeverHealthyError
from shapebench.probe.probe import answers, check_health, list_models, quick_profile
from shapebench.results import database
from shapebench.spec.model import OciTarget, Spec


@dataclass(frozen=True)
class Check:
    """Result of one check; `ok` is None if there was nothing to check."""

    name: str
    ok: bool | None
    found: str
    remedy: str | None = None


class SetUpError(ShapebenchError):
    """Something is wrong with the set-up."""


class NothingToCheckError(Exception):
    """There is nothing to check."""


Examination = Callable[[Spec | None, Path], str]  # raises ShapebenchError or NothingToCheckError


def examine(spec: Spec | None, data: Path) -> list[Check]:
    """Run all checks, also after one has failed."""
    return [_examine(name, examination, spec, data) for name, examination in EXAMINATIONS.items()]


def _examine(name: str, examination: Examination, spec: Spec | None, data: Path) -> Check:
    try:
        return Check(name, True, examination(spec, data))
    except NothingToCheckError as nothing:
        return Check(name, None, str(nothing))
    except ShapebenchError as error:
        return Check(name, False, error.problem, error.remedy)


def prefect_api(_spec: Spec | None, _data: Path) -> str:
    set_defaults()
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    if not url:
        return "No Prefect server is set: `shapebench run` starts one for each run. Schedules and the UI need a server."
    try:
        httpx.get(f"{url}/health", timeout=5).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SetUpError(
            f"The Prefect API at {url} does not answer: {error}",
            "Start it (`prefect server start`), correct PREFECT_API_URL, or unset it to run without a server.",
        ) from None
    return f"The Prefect API at {url} answers."


def _running(spec: Spec | None) -> Spec:
    """Return the spec of an endpoint that runs already; raises NothingToCheckError."""
    if spec is None:
        raise NothingToCheckError("No endpoint is given: use --url and --model, or a spec.")
    if spec.endpoint.launch:
        raise NothingToCheckError("The run itself starts the server.")
    return spec


def endpoint_healthy(spec: Spec | None, _data: Path) -> str:
    spec = _running(spec)
    if not APIS[spec.endpoint.api].control_plane:
        raise NothingToCheckError(f"The API {spec.endpoint.api} is hosted: it has no health, and no list of models.")
    with Client(spec.endpoint) as client:
        if trouble := check_health(client, spec.endpoint):
            if not (isinstance(trouble, NeverHealthyError | EndpointTimeoutError) and answers(client, spec)):
                raise trouble
            return f"{trouble.problem} It answers requests all the same."
        if client.health() != 200:
            return f"{spec.endpoint.url} answers, but has no /health; the check `Requests` says whether it can be used."
        return f"{spec.endpoint.url} is healthy, version {client.version() or 'unknown'}."


def model_served(spec: Spec | None, data: Path) -> str:
    endpoint_healthy(spec, data)
    endpoint = _running(spec).endpoint
    with Client(endpoint) as client:
        models, unlisted = list_models(client, endpoint)
    if unlisted:
        raise NothingToCheckError(f"{unlisted} The check `Requests` says whether it can be used.")
    model = next(model for model in models if model.id == endpoint.model)
    return f"{model.id} is served, with a context of {model.max_model_len or 'unknown'} tokens."


def requests_answered(spec: Spec | None, data: Path) -> str:
    """Ask as the workload does, and say what is unusual about the server: its profile."""
    with suppress(NothingToCheckError):
        endpoint_healthy(spec, data)
    return describe(quick_profile(_running(spec)))


def data_writable(_spec: Spec | None, data: Path) -> str:
    there = next(folder for folder in (data, *data.absolute().parents) if folder.exists())
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise SetUpError(f"{there} cannot be written to: {error.strerror}.", "Use another folder (--data).") from None
    return f"{data} can be written to."


def database_readable(_spec: Spec | None, data: Path) -> str:
    if not (data / database.FILE_NAME).exists():
        raise NothingToCheckError(f"{data / database.FILE_NAME} does not exist yet: the first run creates it.")
    count = database.query(data, "SELECT count(*) AS n FROM runs").to_pylist()[0]["n"]
    return f"{data / database.FILE_NAME} has {count} runs."


def oci_config(spec: Spec | None, _data: Path) -> str:
    target = (spec.publish.oci if spec else None) or OciTarget(bucket="any")
    if target.auth not in PLACES:
        raise NothingToCheckError(f"The spec uses {target.auth}: no config file is needed.")
    file = target.config_file.expanduser()
    if not file.exists() and not (spec and spec.publish.oci):
        raise NothingToCheckError(
            f"{target.config_file} does not exist; it is needed only for publishing to OCI Object Storage."
        )
    from shapebench.publish.targets.oci import client  # the SDK takes a second to import

    place = PLACES[target.auth].format(target=target)
    return f"{place} has what is needed; objects go to {client(target).base_client.endpoint}."


PLACES = {
    "config_file": "{target.config_file}",
    "session_token": "{target.config_file}",
    "block": "The Prefect block {target.credentials_block}",
    "environment": "The environment",
}


def with_secrets(examination: Examination) -> Examination:
    """Wrap an examination so that it can use the credentials in the blocks that the spec names."""

    def examine_with_secrets(spec: Spec | None, data: Path) -> str:
        if spec is None or not spec.blocks:
            return examination(spec, data)
        from tasks.prefect.blocks import credentials_from_blocks  # and Prefect, which takes seconds

        with credentials_from_blocks(spec):
            return examination(spec, data)

    return examine_with_secrets


EXAMINATIONS: dict[str, Examination] = {
    "Prefect API": prefect_api,
    "Endpoint": with_secrets(endpoint_healthy),
    "Model": with_secrets(model_served),
    "Requests": with_secrets(requests_answered),
    "Data folder": data_writable,
    "Database": database_readable,
    "OCI config": with_secrets(oci_config),
}

SIGNS = {True: "[green]ok[/green]     ", False: "[red]wrong[/red]  ", None: "[dim]-[/dim]      "}


def print_checks(checks: list[Check]) -> None:
    """Print the results as text."""
    console = Console()
    for check in checks:
        console.print(f"{SIGNS[check.ok]}{check.name:<12} {check.found}", highlight=False, soft_wrap=True)
        if check.remedy:
            console.print(f"{'':<20}What to do: {check.remedy}", highlight=False, soft_wrap=True)
