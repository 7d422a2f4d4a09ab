"""Publish to a bucket in OCI Object Storage. The SDK takes half a second to import, so import this late."""

from collections.abc import Iterator

from shapebench.publish.targets.oci import upload
from shapebench.publish.targets.oci.connection import client, open_bucket
from shapebench.publish.targets.oci.sharing import share
from shapebench.publish.targets.upload_batch import StoreError, UploadBatch
from shapebench.runs.records import Artifact
from shapebench.spec.model import Spec

__all__ = ["client", "send", "share"]


def send(spec: Spec, batch: UploadBatch) -> Iterator[Artifact]:
    """Upload files as PREFIX/RUN_ID/… and verify them; raises StoreError for a problem of all files."""
    if spec.publish.oci is None:
        raise StoreError("The spec has no bucket", "Set publish.oci.bucket.")
    with open_bucket(spec.publish.oci) as bucket:
        yield from upload.send(bucket, batch)
