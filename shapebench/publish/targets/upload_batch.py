"""Files to publish: names, sizes, types and checksums, for every target."""

import hashlib
import mimetypes
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from shapebench.errors import ShapebenchError
from shapebench.runs.records import Artifact

OCTETS = "application/octet-stream"
TYPES = mimetypes.MimeTypes()  # Python's table, not the machine's: a file has one type everywhere
TYPES.add_type("application/vnd.apache.parquet", ".parquet")
TYPES.add_type("application/yaml", ".yaml")
TYPES.add_type("image/svg+xml", ".svg")
TYPES.add_type("text/markdown", ".md")


class StoreError(ShapebenchError):
    """A problem with the target that prevents sending any file."""


@dataclass(frozen=True)
class OutgoingFile:
    """A file on disk and its name in the target; `md5` is hexadecimal."""

    path: Path
    name: str  # relative to the batch's folder, with slashes
    size_bytes: int
    md5: str
    content_type: str

    @property
    def content_md5(self) -> str:
        """The checksum in base64, as in HTTP's Content-MD5."""
        return b64encode(bytes.fromhex(self.md5)).decode()


@dataclass(frozen=True)
class UploadBatch:
    """Files that are sent together, with metadata for each of them."""

    run_id: str
    folder: str  # in the target: the run's id, or empty for files of all runs
    files: tuple[OutgoingFile, ...]
    labels: Mapping[str, str] = field(default_factory=dict)

    def path(self, file: OutgoingFile) -> str:
        """Return the file's path in the target, with slashes."""
        return f"{self.folder}/{file.name}".lstrip("/")

    def artifact(self, file: OutgoingFile, url: str, error: str | None = None, *, sent: bool = True) -> Artifact:
        """Return the record of a file after an attempt to send it."""
        return Artifact(
            run_id=self.run_id,
            name=file.name,
            url=url,
            size_bytes=file.size_bytes,
            md5=file.md5,
            content_type=file.content_type,
            published_at=datetime.now(UTC),
            error=error,
            sent=sent,
        )


def outgoing_file(path: Path, name: str) -> OutgoingFile:
    """Read size, type and checksum of a file; raises StoreError where it cannot be read."""
    try:
        return OutgoingFile(path, name, path.stat().st_size, file_md5(path), content_type_of(name))
    except OSError as error:
        raise StoreError(f"Cannot read {error.filename}: {error.strerror}", "Make it readable.") from None


def report_files(report: Path) -> list[OutgoingFile]:
    """List the files of a report by name; raises StoreError where there are none."""
    paths = [path for path in sorted(report.rglob("*")) if path.is_file()]
    if not paths:
        raise StoreError(
            f"There is no report in {report}", "Build it with `shapebench report RUN_ID`, then publish it again."
        )
    return [outgoing_file(path, path.relative_to(report).as_posix()) for path in paths]


def sample_files(run: Path) -> list[OutgoingFile]:
    """List the Parquet files of a run: raw samples and server metrics."""
    return [outgoing_file(path, f"samples/{path.name}") for path in sorted(run.glob("*.parquet"))]


def file_md5(path: Path) -> str:
    """Return the MD5 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def content_type_of(name: str) -> str:
    """Return the MIME type of a file name."""
    kind, encoding = TYPES.guess_type(name)
    return OCTETS if kind is None or encoding else kind  # the type guessed for x.csv.gz is that of x.csv
