"""The machine that serves: its shape, its GPUs and the server's command line, if it is the machine that measures.

Facts that cannot be read are noted and are never an error, since the numbers do not depend on them.
"""

import os
import re
import shlex
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

import psutil

from shapebench.errors import ShapebenchError
from shapebench.probe.gpus import gpus
from shapebench.probe.oci_metadata import METADATA, instance
from shapebench.runs.host import Gpu, Host, Instance
from shapebench.spec.model import UNKNOWN_SHAPE, Endpoint, Spec
from shapebench.support.redact import redact
from shapebench.support.run_log import milestone

ADDRESS = "OCI_METADATA_BASE_URL"  # OCI's SDK reads the address of the metadata service from it, too
METADATA_TIMEOUT_S, DRIVER_TIMEOUT_S = 1.0, 5.0
PORTS = {"http": 80, "https": 443}

_REVISION = re.compile(r"--revision[= ]([\w./-]+)")
_SNAPSHOT = re.compile(r"/snapshots/([0-9a-f]{40})(?:/|$)")  # the folder of a revision in Hugging Face's cache

T = TypeVar("T")


def inspect_host(endpoint: Endpoint) -> Host:
    """Describe this machine, if the spec says that the server runs on it."""
    if not endpoint.on_this_machine:
        return Host()
    unknown: list[str] = []
    here = _attempt(this_instance, unknown)
    gpus_here = _attempt(_gpus, unknown) or ()
    command = _attempt(lambda: find_command(endpoint.url), unknown)
    return Host(here, gpus_here, command, tuple(unknown))


def detect_shape(spec: Spec) -> Spec:
    """Add the shape that this machine's metadata names, if the server runs on it and the spec names none."""
    endpoint = spec.endpoint
    if not endpoint.on_this_machine or endpoint.shape != UNKNOWN_SHAPE:
        return spec
    unknown: list[str] = []
    if here := _attempt(this_instance, unknown):
        milestone("begin", "this machine is a {shape}, by OCI's metadata service", shape=here.sized_shape)
        return spec.model_copy(update={"endpoint": endpoint.model_copy(update={"shape": here.sized_shape})})
    milestone("begin", "the shape is unknown: {why}", why=unknown[0])
    return spec


def this_instance() -> Instance:
    """Read which OCI instance this is; raises MetadataUnavailableError."""
    base = os.environ.get(ADDRESS)
    return instance(f"{base.rstrip('/')}/instance/" if base else METADATA, METADATA_TIMEOUT_S)


def _gpus() -> tuple[Gpu, ...]:
    gpus_here = gpus(DRIVER_TIMEOUT_S)
    if not gpus_here:
        raise ShapebenchError(
            "nvidia-smi is not installed, or finds no GPU", "If there is a GPU, install NVIDIA's driver."
        )
    return gpus_here


def find_command(url: str) -> str:
    """Find the command line of the process that listens at a URL's port, redacted; raises ShapebenchError."""
    parts = urlsplit(url)
    port = parts.port or PORTS[parts.scheme]
    try:
        lines = psutil.net_connections(kind="tcp")
        pids = [c.pid for c in lines if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port and c.pid]
        words = psutil.Process(pids[0]).cmdline() if pids else []
    except (psutil.Error, OSError):  # another user's, ended meanwhile, or a system that hides it
        words = []
    if not words:
        raise ShapebenchError(
            f"The process that listens at port {port} is not visible to this user", "Measure as the user of the server."
        )
    return redact(shlex.join(words))


def revision(root: str | None, *commands: str | None) -> str | None:
    """Find the model's revision in the folder that it is read from, or in a command line."""
    snapshot = _SNAPSHOT.search(root or "")
    options = (_REVISION.search(command) for command in commands if command)
    return next((match[1] for match in (snapshot, *options) if match), None)


def _attempt(read: Callable[[], T], unknown: list[str]) -> T | None:
    """Read something about the machine, or note why it is unknown."""
    try:
        return read()
    except ShapebenchError as error:
        unknown.append(error.problem)
        return None
