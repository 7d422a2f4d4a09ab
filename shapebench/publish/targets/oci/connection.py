"""The way to a bucket: the SDK's client, and the bucket's names."""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import md5
from typing import Any
from urllib.parse import quote

import oci
from oci.exceptions import BaseRequestException as ConnectionTrouble
from oci.exceptions import ServiceError

from shapebench.publish.targets.oci.authentication import AUTHENTICATION
from shapebench.publish.targets.oci.trouble import explained
from shapebench.spec.model import OciTarget

RETRY = oci.retry.DEFAULT_RETRY_STRATEGY  # 8 attempts within 10 minutes: throttling, 5xx, timeouts, lost connections
TIMEOUT_S = (10, 60)  # to connect; to hear something


class UploadPartLostError(Exception):
    """A part of a large file was given up; its reason is the cause."""


class Storage(oci.object_storage.ObjectStorageClient):  # type: ignore[misc]
    """The SDK's client, with parts of large files sent as its own UploadManager does not.

    UploadManager sends a part without a checksum; when it is to be sent once more, what it reads it from is at its end,
    and nothing would follow the header (oci 2.189); and a part that the retry strategy has given up it tries four
    times over, ten minutes each, before it goes on to the next.
    """

    lost: BaseException | None = None

    def upload_part(self, *names: Any, **options: Any) -> Any:  # names: namespace, bucket, object, upload, number, body
        if self.lost:
            raise UploadPartLostError from self.lost
        *place, body = names
        content = bytes(body.read(body.size))
        checksum = b64encode(md5(content, usedforsecurity=False).digest()).decode()
        try:
            return super().upload_part(*place, content, **{**options, "content_md5": checksum})
        except (ServiceError, ConnectionTrouble) as error:
            self.lost = error
            raise UploadPartLostError from error


@dataclass(frozen=True)
class Bucket:
    """A bucket, and who may write to it; names of objects begin with the prefix."""

    client: Storage
    namespace: str
    name: str
    prefix: str

    @property
    def place(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def endpoint(self) -> str:
        return str(self.client.base_client.get_endpoint())

    def object_name(self, place: str) -> str:
        return "/".join(part for part in (self.prefix.strip("/"), place) if part)

    def url(self, object_name: str) -> str:
        return f"{self.endpoint}/n/{quote(self.namespace)}/b/{quote(self.name)}/o/{quote(object_name)}"


def client(target: OciTarget) -> Storage:
    """A client that has not spoken to Object Storage yet; raises StoreError where the set-up does not allow one."""
    return Storage(
        **AUTHENTICATION[target.auth](target),
        service_endpoint=(target.service_endpoint or "").rstrip("/"),  # empty: the region's
        retry_strategy=RETRY,
        timeout=TIMEOUT_S,
        # A few files need no circuit breaker, and one that fails must not open it for the others.
        circuit_breaker_strategy=oci.circuit_breaker.NoCircuitBreakerStrategy(),
    )


@contextmanager
def opened(target: OciTarget, denied: str | None = None) -> Iterator[Bucket]:
    """The bucket of a spec, with whatever goes wrong with it explained."""
    storage = client(target)
    try:
        with explained(target, storage, denied):
            namespace = target.namespace or storage.get_namespace().data
            yield Bucket(storage, namespace, target.bucket, target.prefix)
    finally:
        storage.base_client.session.close()
