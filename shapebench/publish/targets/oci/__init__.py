"""Reports to a bucket in OCI Object Storage; import it only to use it, for the SDK takes half a second to import."""

from collections.abc import Iterator

from shapebench.publish.targets.oci import upload
from shapebench.publish.targets.oci.connection import client, opened
from shapebench.publish.targets.oci.sharing import share
from shapebench.publish.targets.upload_batch import Shipment, StoreError
from shapebench.runs.records import Artifact
from shapebench.spec.model import Spec

__all__ = ["client", "send", "share"]


def send(spec: Spec, shipment: Shipment) -> Iterator[Artifact]:
    """Upload files as PREFIX/RUN_ID/… and check what arrived; raises StoreError for what concerns every file."""
    if spec.publish.oci is None:
        raise StoreError("The spec names no bucket", "Set publish.oci.bucket.")
    with opened(spec.publish.oci) as bucket:
        yield from upload.send(bucket, shipment)
