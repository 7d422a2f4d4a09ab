"""Where reports go beside the data folder: a module with one function, and a line in `STORES`, for each place."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from shapebench.records import Artifact
from shapebench.spec import Spec

Store = Callable[[Spec, str, Path], list[Artifact]]  # spec, run id, the report's folder


def _module(name: str) -> Store:
    def send(spec: Spec, run_id: str, report: Path) -> list[Artifact]:
        module = import_module(f"{__name__}.{name}")  # not before it is needed: an SDK is slow to import
        artifacts: list[Artifact] = module.send(spec, run_id, report)
        return artifacts

    return send


STORES: dict[str, Store] = {"folder": _module("folder"), "oci": _module("oci")}


def chosen(spec: Spec) -> str:
    """The name of the store that a spec asks for."""
    return "oci" if spec.publish.oci else "folder"


def send(spec: Spec, run_id: str, report: Path) -> list[Artifact]:
    """Send a report where the spec says; sending it again is harmless.

    A file that could not be sent is an Artifact with its error; what concerns all files raises StoreError.
    """
    return STORES[chosen(spec)](spec, run_id, report)
