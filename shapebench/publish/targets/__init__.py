"""Targets of reports: a function and an entry in `TARGETS` for each."""

from collections.abc import Callable, Iterator

from shapebench.publish.targets.upload_batch import StoreError, UploadBatch
from shapebench.runs.records import Artifact, Link
from shapebench.spec.model import OciTarget, Spec

Send = Callable[[Spec, UploadBatch], Iterator[Artifact]]


def _send_to_folder(spec: Spec, batch: UploadBatch) -> Iterator[Artifact]:
    from shapebench.publish.targets import folder

    return folder.send(spec, batch)


def _send_to_oci(spec: Spec, batch: UploadBatch) -> Iterator[Artifact]:
    from shapebench.publish.targets import oci  # the SDK takes half a second to import

    return oci.send(spec, batch)


TARGETS: dict[str, Send] = {"folder": _send_to_folder, "oci": _send_to_oci}


def target_name(spec: Spec) -> str:
    """Return the name of the target that a spec publishes to."""
    return "oci" if spec.publish.oci else "folder"


def send(spec: Spec, batch: UploadBatch) -> Iterator[Artifact]:
    """Send files to the target of the spec and yield an Artifact for each, in order; unchanged files are not sent.

    A file that could not be sent is an Artifact with its error. A problem of all files raises StoreError, after the
    Artifacts of the files sent before.
    """
    return TARGETS[target_name(spec)](spec, batch)


def share(spec: Spec, run_id: str, days: int) -> Link:
    """Create a link that opens a published report for some days; raises StoreError."""
    target = sharing_target(spec)
    from shapebench.publish.targets import oci

    return oci.share(target, run_id, days)


def sharing_target(spec: Spec) -> OciTarget:
    """Return the target of the spec if it supports links; raises StoreError otherwise."""
    if spec.publish.oci is None:
        raise StoreError(
            "The report is published to a folder, and links can only share a report in OCI Object Storage",
            "Set publish.oci in the spec, or give people access to the folder.",
        )
    return spec.publish.oci
