"""On what a server runs, and with which arguments: asked of its own machine, where that is the one that measures.

What cannot be found out is noted and never an error: the numbers are as good without it.
"""

import os
import re
import shlex
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psutil

from shapebench.errors import ShapebenchError
from shapebench.probe.gpus import gpus
from shapebench.probe.oci_metadata import METADATA, instance
from shapebench.runs.host import Gpu, Host, Instance
from shapebench.spec.model import UNKNOWN_SHAPE, Endpoint, Spec
from shapebench.support.redact import redact
from shapebench.support.run_log import milestone

ADDRESS = "OCI_METADATA_BASE_URL"  # the variable by which OCI's own SDK is told of another metadata service
METADATA_TIMEOUT_S, DRIVER_TIMEOUT_S = 1.0, 5.0
PORTS = {"http": 80, "https": 443}

_REVISION = re.compile(r"--revision[= ]([\w./-]+)")
_SNAPSHOT = re.compile(r"/snapshots/([0-9a-f]{40})(?:/|$)")  # the folder of a revision in Hugging Face's cache

Found = TypeVar("Found")


def inspect_host(endpoint: Endpoint) -> Host:
    """What this machine says, where the spec says that the server runs on it."""
    if not endpoint.on_this_machine:
        return Host()
    unknown: list[str] = []
    here = _asked(this_instance, unknown)
    found = _asked(_gpus, unknown) or ()
    command = _asked(lambda: find_command(endpoint.url), unknown)
    return Host(here, found, command, tuple(unknown))


def detect_shape(spec: Spec) -> Spec:
    """With the shape that this machine's metadata names, where the server runs on it and the spec names none."""
    endpoint = spec.endpoint
    if not endpoint.on_this_machine or endpoint.shape != UNKNOWN_SHAPE:
        return spec
    unknown: list[str] = []
    if found := _asked(this_instance, unknown):
        milestone("begin", "this machine is {shape}, by its metadata", shape=found.sized_shape)
        return spec.model_copy(update={"endpoint": endpoint.model_copy(update={"shape": found.sized_shape})})
    milestone("begin", "the shape stays unknown: {why}", why=unknown[0])
    return spec


def this_instance() -> Instance:
    """Raises NoMetadata."""
    base = os.environ.get(ADDRESS)
    return instance(f"{base.rstrip('/')}/instance/" if base else METADATA, METADATA_TIMEOUT_S)


def _gpus() -> tuple[Gpu, ...]:
    found = gpus(DRIVER_TIMEOUT_S)
    if not found:
        raise ShapebenchError("nvidia-smi is not there, or knows no GPU", "Install NVIDIA's driver, if there is a GPU.")
    return found


def find_command(url: str) -> str:
    """The command line of the process that listens at a URL's port; raises ShapebenchError where it is not seen."""
    parts = urlsplit(url)
    port = parts.port or PORTS[parts.scheme]
    try:
        lines = psutil.net_connections(kind="tcp")
        pids = [c.pid for c in lines if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port and c.pid]
        words = psutil.Process(pids[0]).cmdline() if pids else []
    except (psutil.Error, OSError):  # another user's, gone meanwhile, or a system that does not let us look
        words = []
    if not words:
        raise ShapebenchError(
            f"The process that listens at port {port} is not to be seen from here", "Measure as the user who serves."
        )
    return redact(shlex.join(words))


def revision(root: str | None, *commands: str | None) -> str | None:
    """The model's, as far as the folder that it is read from, or a command line, names it."""
    snapshot = _SNAPSHOT.search(root or "")
    told = (_REVISION.search(command) for command in commands if command)
    return next((found[1] for found in (snapshot, *told) if found), None)


def _asked(ask: Callable[[], Found], unknown: list[Any]) -> Found | None:
    try:
        return ask()
    except ShapebenchError as error:
        unknown.append(error.problem)
        return None
