"""Upload files to a bucket: unchanged ones are skipped, large ones go in parts, and each is verified afterwards."""

import os
from base64 import b64encode
from collections.abc import Iterator
from functools import cached_property
from hashlib import md5
from pathlib import Path
from typing import Any
from urllib.parse import quote

import oci
from oci.exceptions import BaseRequestException as ConnectionTrouble
from oci.exceptions import ServiceError

from shapebench.publish.targets.oci.connection import Bucket, UploadPartLostError
from shapebench.publish.targets.oci.trouble import concerns_all, describe, remedy_for
from shapebench.publish.targets.upload_batch import OutgoingFile, UploadBatch
from shapebench.runs.records import Artifact

# Larger files go in parts of this size: large enough to be worth a request, small enough that little is sent again
# after a failure. OCI accepts 10,000 parts, all but the last of at least 10 MiB.
PART_BYTES = 16 * 2**20
MAX_PARTS = 10_000

# Pages and pictures change under their names when a report is built again, so browsers must revalidate them. Samples
# change only when an interrupted run is resumed. All is private, so that shared caches do not keep what a link opened.
REVALIDATE = "private, no-cache"
ONE_DAY = "private, max-age=86400"
CACHE_CONTROL = {"application/vnd.apache.parquet": ONE_DAY}
INLINE_TYPES = ("text/html", "image/svg+xml", "image/png", "application/pdf")
DOWNLOAD_SUFFIXES = (".parquet", ".duckdb")
MAX_LABEL = 80  # characters, of up to 12 bytes when they are quoted; OCI accepts 4,000 bytes of metadata in all


def send(bucket: Bucket, batch: UploadBatch) -> Iterator[Artifact]:
    """Upload new and changed files; raises the SDK's error where it concerns all files."""
    names = [bucket.object_name(batch.path(file)) for file in batch.files]
    existing = _list_objects(bucket, os.path.commonprefix(names))  # noqa: RUF071 - by character is what a listing goes by
    for name, file in zip(names, batch.files, strict=True):
        yield Upload(bucket, batch, file, name).run(existing.get(name))


def _list_objects(bucket: Bucket, prefix: str) -> dict[str, tuple[int, str]]:
    """Return size and checksum of the objects with a prefix, by name, with one request per thousand."""
    objects: dict[str, tuple[int, str]] = {}
    start: str | None = ""
    while start is not None:
        page = bucket.client.list_objects(*bucket.names, prefix=prefix, start=start, fields="name,size,md5").data
        objects |= {entry.name: (entry.size, entry.md5) for entry in page.objects}
        start = page.next_start_with
    return objects


class Upload:
    """The upload of one file to one object."""

    def __init__(self, bucket: Bucket, batch: UploadBatch, file: OutgoingFile, name: str) -> None:
        self.bucket, self.batch, self.file, self.name = bucket, batch, file, name
        self.part_bytes = max(PART_BYTES, -(-file.size_bytes // MAX_PARTS))
        self.is_large = file.size_bytes > self.part_bytes

    def run(self, existing: tuple[int, str] | None) -> Artifact:
        """Upload the file unless the object is the same; `existing` has the size and checksum of the object."""
        sent, error = False, None
        try:
            if not self._is_unchanged(existing):
                sent = True
                self._put()
                error = self._verify()
        except ServiceError as refused:
            if concerns_all(refused):
                raise
            error = f"{describe(refused)}. {remedy_for(refused, self.bucket.name, self.bucket.endpoint)}"
        except ConnectionTrouble:
            raise  # also an OSError, but of the network and not of the file
        except OSError as failure:
            sent, error = True, f"{self.file.path.name}: {failure.strerror}"
        return self.batch.artifact(self.file, self.bucket.url(self.name), error, sent=sent)

    def _is_unchanged(self, existing: tuple[int, str] | None) -> bool:
        return existing is not None and existing[0] == self.file.size_bytes and existing[1] in self._checksums

    @cached_property
    def _part_md5s(self) -> list[bytes]:
        with self.file.path.open("rb") as file:
            parts = iter(lambda: file.read(self.part_bytes), b"")
            return [md5(part, usedforsecurity=False).digest() for part in parts]

    @cached_property
    def _checksums(self) -> tuple[str, ...]:
        """The checksums that the object may have: of the file, or of its parts' checksums."""
        if not self.is_large:
            return (self.file.content_md5,)
        of_parts = _base64(md5(b"".join(self._part_md5s), usedforsecurity=False).digest())
        return (self.file.content_md5, f"{of_parts}-{len(self._part_md5s)}")

    def _put(self) -> None:
        manager = oci.object_storage.UploadManager(self.bucket.client)
        to = (*self.bucket.names, self.name, str(self.file.path))
        if not self.is_large:
            manager.upload_file(*to, part_size=self.part_bytes, content_md5=self.file.content_md5, **self._headers())
            return
        self.bucket.client.lost = None
        try:
            if upload_id := self._unfinished_upload():
                manager.resume_upload_file(*to, upload_id, part_size=self.part_bytes)
            else:
                manager.upload_file(*to, part_size=self.part_bytes, **self._headers())
        except UploadPartLostError as lost:
            self._handle_failure(lost.__cause__)
        except (ServiceError, ConnectionTrouble) as error:
            self._handle_failure(error)

    def _unfinished_upload(self) -> str | None:
        """Find an unfinished upload of this file; other unfinished uploads of the object are removed."""
        ids = [upload.upload_id for upload in self._list_unfinished()]
        matching = next((upload_id for upload_id in ids if self._matches(upload_id)), None)
        for other in ids:
            if other != matching:
                self.bucket.client.abort_multipart_upload(*self.bucket.names, self.name, other)
        return matching

    def _list_unfinished(self) -> list[Any]:
        uploads = self.bucket.client.list_multipart_uploads
        listed = oci.pagination.list_call_get_all_results(uploads, *self.bucket.names).data
        return [upload for upload in listed if upload.object == self.name]

    def _matches(self, upload_id: str) -> bool:
        """Compare the uploaded parts with the file; UploadManager compares sizes only."""
        listed = oci.pagination.list_call_get_all_results(
            self.bucket.client.list_multipart_upload_parts, *self.bucket.names, self.name, upload_id
        ).data
        parts = {number: _base64(digest) for number, digest in enumerate(self._part_md5s, start=1)}
        return all(parts.get(part.part_number) == part.md5 for part in listed)

    def _handle_failure(self, error: BaseException | None) -> None:
        """Raise the error again; the uploaded parts are kept for the next try unless OCI rejects this object."""
        assert error is not None
        if isinstance(error, ServiceError) and not concerns_all(error):
            for upload in self._list_unfinished():
                self.bucket.client.abort_multipart_upload(*self.bucket.names, self.name, upload.upload_id)
        else:
            error.add_note(f"the parts of {self.file.name} that arrived are kept for the next try")
        raise error

    def _headers(self) -> dict[str, Any]:
        return {
            "content_type": self.file.content_type,
            "cache_control": CACHE_CONTROL.get(self.file.content_type, REVALIDATE),
            "content_disposition": self._disposition(),
            "metadata": {name: _ascii(label) for name, label in self.batch.labels.items()},
        }

    def _disposition(self) -> str | None:
        """Choose whether a browser shows the object, or saves it under a name with the run's id."""
        if self.file.content_type in INLINE_TYPES:
            return "inline"
        if not self.file.name.endswith(DOWNLOAD_SUFFIXES):
            return None
        saved_as = "-".join(part for part in (self.batch.folder, Path(self.file.name).name) if part)
        return f'attachment; filename="{quote(saved_as)}"'

    def _verify(self) -> str | None:
        """Compare the object with the file; returns the difference, or None."""
        headers = self.bucket.client.head_object(*self.bucket.names, self.name).headers
        checksum = headers.get("opc-multipart-md5") or headers.get("content-md5")
        if (length := headers.get("content-length")) != str(self.file.size_bytes):
            return f"the uploaded object differs: {length} bytes, not {self.file.size_bytes}"
        return None if checksum in self._checksums else f"the uploaded object differs: its checksum is {checksum}"


def _base64(digest: bytes) -> str:
    return b64encode(digest).decode()


def _ascii(label: str) -> str:
    """Encode a label as a header value."""
    return quote(label[:MAX_LABEL], safe="/:,+@()=", errors="replace")
