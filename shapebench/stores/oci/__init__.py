"""Reports to a bucket in OCI Object Storage; import it only to use it, for the SDK takes half a second to import."""

from collections.abc import Iterator

from shapebench.runs.records import Artifact
from shapebench.spec.model import Spec
from shapebench.stores.files import Shipment, StoreError
from shapebench.stores.oci import upload
from shapebench.stores.oci.connection import client, opened
from shapebench.stores.oci.sharing import share

__all__ = ["client", "send", "share"]


def send(spec: Spec, shipment: Shipment) -> Iterator[Artifact]:
    """Upload files as PREFIX/RUN_ID/… and check what arrived; raises StoreError for what concerns every file."""
    if spec.publish.oci is None:
        raise StoreError("The spec names no bucket", "Set publish.oci.bucket.")
    with opened(spec.publish.oci) as bucket:
        yield from upload.send(bucket, shipment)
