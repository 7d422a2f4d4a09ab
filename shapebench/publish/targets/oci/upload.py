"""Files into a bucket: what is there already stays, large ones go in parts, and each is checked when it has arrived."""

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
from shapebench.publish.targets.oci.trouble import concerns_all, refusal, remedy_for
from shapebench.publish.targets.upload_batch import OutgoingFile, Shipment
from shapebench.runs.records import Artifact

# A file of more goes in parts of so much: large enough that each is worth its request, small enough that little is sent
# again after a failure. OCI takes 10,000 parts, of at least 10 MiB each but for the last.
PART_BYTES = 16 * 2**20
MOST_PARTS = 10_000

# What keeps its name may change its content: pages and pictures when a report is drawn again. So a browser asks each
# time whether its copy is still right. Samples change only when a run that was broken off is resumed. Nothing is for
# caches that others share: what is behind a link is nobody else's.
CHANGING = "private, no-cache"
LASTING = "private, max-age=86400"
CACHING = {"application/vnd.apache.parquet": LASTING}
TO_BE_SEEN = ("text/html", "image/svg+xml", "image/png", "application/pdf")
TO_BE_SAVED = (".parquet", ".duckdb")
LONGEST_LABEL = 80  # characters, of up to 12 bytes when they are quoted; OCI takes 4,000 bytes of metadata in all


def send(bucket: Bucket, shipment: Shipment) -> Iterator[Artifact]:
    """Upload the files that are not there yet; raises what concerns all of them as the SDK gave it."""
    names = [bucket.object_name(shipment.place(file)) for file in shipment.files]
    there = _listed(bucket, os.path.commonprefix(names))  # noqa: RUF071 - by character is what a listing goes by
    for name, file in zip(names, shipment.files, strict=True):
        yield Upload(bucket, shipment, file, name).done(there.get(name))


def _listed(bucket: Bucket, prefix: str) -> dict[str, tuple[int, str]]:
    """Size and checksum of the objects whose names begin so, by their names: one request for a thousand."""
    found: dict[str, tuple[int, str]] = {}
    start: str | None = ""
    while start is not None:
        page = bucket.client.list_objects(*bucket.place, prefix=prefix, start=start, fields="name,size,md5").data
        found |= {entry.name: (entry.size, entry.md5) for entry in page.objects}
        start = page.next_start_with
    return found


class Upload:
    """One file on its way to one object."""

    def __init__(self, bucket: Bucket, shipment: Shipment, file: OutgoingFile, name: str) -> None:
        self.bucket, self.shipment, self.file, self.name = bucket, shipment, file, name
        self.part_bytes = max(PART_BYTES, -(-file.size_bytes // MOST_PARTS))
        self.is_large = file.size_bytes > self.part_bytes

    def done(self, there: tuple[int, str] | None) -> Artifact:
        """Have the object be like the file; `there` are size and checksum of the object, if there is one."""
        sent, error = False, None
        try:
            if not self._is_the_same(there):
                sent = True
                self._put()
                error = self._damage()
        except ServiceError as refused:
            if concerns_all(refused):
                raise
            error = f"{refusal(refused)}. {remedy_for(refused, self.bucket.name, self.bucket.endpoint)}"
        except ConnectionTrouble:
            raise  # an OSError as well, yet it is the network's and not the file's
        except OSError as failure:
            sent, error = True, f"{self.file.path.name}: {failure.strerror}"
        return self.shipment.artifact(self.file, self.bucket.url(self.name), error, sent=sent)

    def _is_the_same(self, there: tuple[int, str] | None) -> bool:
        return there is not None and there[0] == self.file.size_bytes and there[1] in self._checksums

    @cached_property
    def _part_md5s(self) -> list[bytes]:
        with self.file.path.open("rb") as file:
            parts = iter(lambda: file.read(self.part_bytes), b"")
            return [md5(part, usedforsecurity=False).digest() for part in parts]

    @cached_property
    def _checksums(self) -> tuple[str, ...]:
        """Those that the object may have: of the whole, or of its parts' checksums where it came in parts."""
        if not self.is_large:
            return (self.file.content_md5,)
        of_parts = _base64(md5(b"".join(self._part_md5s), usedforsecurity=False).digest())
        return (self.file.content_md5, f"{of_parts}-{len(self._part_md5s)}")

    def _put(self) -> None:
        manager = oci.object_storage.UploadManager(self.bucket.client)
        to = (*self.bucket.place, self.name, str(self.file.path))
        if not self.is_large:
            manager.upload_file(*to, part_size=self.part_bytes, content_md5=self.file.content_md5, **self._headers())
            return
        self.bucket.client.lost = None
        try:
            if begun := self._begun():
                manager.resume_upload_file(*to, begun, part_size=self.part_bytes)
            else:
                manager.upload_file(*to, part_size=self.part_bytes, **self._headers())
        except UploadPartLostError as lost:
            self._settle(lost.__cause__)
        except (ServiceError, ConnectionTrouble) as error:
            self._settle(error)

    def _begun(self) -> str | None:
        """An earlier upload of this very file that came to no end; others of the object are removed."""
        found = [upload.upload_id for upload in self._unfinished()]
        fitting = next((begun for begun in found if self._fits(begun)), None)
        for other in found:
            if other != fitting:
                self.bucket.client.abort_multipart_upload(*self.bucket.place, self.name, other)
        return fitting

    def _unfinished(self) -> list[Any]:
        uploads = self.bucket.client.list_multipart_uploads
        listed = oci.pagination.list_call_get_all_results(uploads, *self.bucket.place).data
        return [upload for upload in listed if upload.object == self.name]

    def _fits(self, upload_id: str) -> bool:
        """Is what has arrived the same as what would be sent? UploadManager looks at sizes only."""
        listed = oci.pagination.list_call_get_all_results(
            self.bucket.client.list_multipart_upload_parts, *self.bucket.place, self.name, upload_id
        ).data
        ours = {number: _base64(digest) for number, digest in enumerate(self._part_md5s, start=1)}
        return all(ours.get(part.part_number) == part.md5 for part in listed)

    def _settle(self, error: BaseException | None) -> None:
        """Keep the parts that arrived, to go on with, unless OCI wants none of this object; raises the error again."""
        assert error is not None
        if isinstance(error, ServiceError) and not concerns_all(error):
            for upload in self._unfinished():
                self.bucket.client.abort_multipart_upload(*self.bucket.place, self.name, upload.upload_id)
        else:
            error.add_note(f"the parts of {self.file.name} that arrived are kept to go on with")
        raise error

    def _headers(self) -> dict[str, Any]:
        return {
            "content_type": self.file.content_type,
            "cache_control": CACHING.get(self.file.content_type, CHANGING),
            "content_disposition": self._disposition(),
            "metadata": {name: _ascii(label) for name, label in self.shipment.labels.items()},
        }

    def _disposition(self) -> str | None:
        """Whether a browser shows it, or saves it by a name that tells runs apart."""
        if self.file.content_type in TO_BE_SEEN:
            return "inline"
        if not self.file.name.endswith(TO_BE_SAVED):
            return None
        saved_as = "-".join(part for part in (self.shipment.folder, Path(self.file.name).name) if part)
        return f'attachment; filename="{quote(saved_as)}"'

    def _damage(self) -> str | None:
        """How the object differs from the file; None where it does not."""
        there = self.bucket.client.head_object(*self.bucket.place, self.name).headers
        checksum = there.get("opc-multipart-md5") or there.get("content-md5")
        if (length := there.get("content-length")) != str(self.file.size_bytes):
            return f"what arrived differs: {length} bytes, not {self.file.size_bytes}"
        return None if checksum in self._checksums else f"what arrived differs: its checksum is {checksum}"


def _base64(digest: bytes) -> str:
    return b64encode(digest).decode()


def _ascii(label: str) -> str:
    """A header's value, of which a server's words make neither a second header nor an error."""
    return quote(label[:LONGEST_LABEL], safe="/:,+@()=", errors="replace")
