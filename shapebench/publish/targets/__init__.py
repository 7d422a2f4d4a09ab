"""Where reports go beside the data folder: a module with one function, and a line in `STORES`, for each place."""

from collections.abc import Callable, Iterator
from importlib import import_module

from shapebench.publish.targets.upload_batch import Shipment, StoreError
from shapebench.runs.records import Artifact, Link
from shapebench.spec.model import OciTarget, Spec

Store = Callable[[Spec, Shipment], Iterator[Artifact]]


def _module(name: str) -> Store:
    def send(spec: Spec, shipment: Shipment) -> Iterator[Artifact]:
        module = import_module(f"{__name__}.{name}")  # not before it is needed: an SDK is slow to import
        artifacts: Iterator[Artifact] = module.send(spec, shipment)
        return artifacts

    return send


STORES: dict[str, Store] = {"folder": _module("folder"), "oci": _module("oci")}


def chosen(spec: Spec) -> str:
    """The name of the store that a spec asks for."""
    return "oci" if spec.publish.oci else "folder"


def send(spec: Spec, shipment: Shipment) -> Iterator[Artifact]:
    """Send files where the spec says, and tell of each, in order; one that is there already is not sent again.

    A file that could not be sent is an Artifact with its error; what concerns all files raises StoreError, after the
    Artifacts of those that were sent before.
    """
    return STORES[chosen(spec)](spec, shipment)


def share(spec: Spec, run_id: str, days: int) -> Link:
    """Make a link to a published report that whoever has it can open for some days; raises StoreError."""
    link: Link = import_module(f"{__name__}.oci").share(bucket_of(spec), run_id, days)
    return link


def bucket_of(spec: Spec) -> OciTarget:
    """Where the report can be shared by a link; raises StoreError where it cannot."""
    if spec.publish.oci is None:
        raise StoreError(
            "The report goes to a folder, and only one in OCI Object Storage can be shared by a link",
            "Set publish.oci in the spec, or let people read the folder.",
        )
    return spec.publish.oci
