"""The SDK's client and the bucket of a spec."""

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
from shapebench.publish.targets.oci.trouble import explain_errors
from shapebench.spec.model import OciTarget

RETRY = oci.retry.DEFAULT_RETRY_STRATEGY  # 8 attempts within 10 minutes: throttling, 5xx, timeouts, lost connections
TIMEOUT_S = (10, 60)  # to connect; to read


class UploadPartLostError(Exception):
    """A part of a large file that could not be uploaded; `__cause__` is the reason."""


class Storage(oci.object_storage.ObjectStorageClient):  # type: ignore[misc]
    """The SDK's client with a fixed upload of parts.

    UploadManager of oci 2.189 sends parts without a checksum; retries send no body, since the stream is at its end; and
    a part that failed all retries is tried four more times, ten minutes each.
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
    """A bucket with its client; names of objects start with the prefix."""

    client: Storage
    namespace: str
    name: str
    prefix: str

    @property
    def names(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def endpoint(self) -> str:
        return str(self.client.base_client.get_endpoint())

    def object_name(self, path: str) -> str:
        return "/".join(part for part in (self.prefix.strip("/"), path) if part)

    def url(self, object_name: str) -> str:
        return f"{self.endpoint}/n/{quote(self.namespace)}/b/{quote(self.name)}/o/{quote(object_name)}"


def client(target: OciTarget) -> Storage:
    """Create a client without sending a request; raises StoreError for invalid credentials or settings."""
    return Storage(
        **AUTHENTICATION[target.auth](target),
        service_endpoint=(target.service_endpoint or "").rstrip("/"),  # empty: the region's
        retry_strategy=RETRY,
        timeout=TIMEOUT_S,
        # A few files need no circuit breaker, and one that fails must not open it for the others.
        circuit_breaker_strategy=oci.circuit_breaker.NoCircuitBreakerStrategy(),
    )


@contextmanager
def open_bucket(target: OciTarget, denied: str | None = None) -> Iterator[Bucket]:
    """Open the bucket of a spec; errors become StoreErrors with a remedy."""
    storage = client(target)
    try:
        with explain_errors(target, storage, denied):
            namespace = target.namespace or storage.get_namespace().data
            yield Bucket(storage, namespace, target.bucket, target.prefix)
    finally:
        storage.base_client.session.close()
