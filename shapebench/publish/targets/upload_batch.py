"""What every store needs to know of the files that go up: names, sizes, types and checksums."""

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
TYPES = mimetypes.MimeTypes()  # Python's own table, not the machine's, so that a file has one type everywhere
TYPES.add_type("application/vnd.apache.parquet", ".parquet")
TYPES.add_type("application/yaml", ".yaml")
TYPES.add_type("image/svg+xml", ".svg")
TYPES.add_type("text/markdown", ".md")


class StoreError(ShapebenchError):
    """The files could not be sent at all."""


@dataclass(frozen=True)
class OutgoingFile:
    """A file as it lies on disk, and its name in the store; `md5` is in hexadecimal, as md5sum prints it."""

    path: Path
    name: str  # relative to the shipment's folder, with slashes
    size_bytes: int
    md5: str
    content_type: str

    @property
    def content_md5(self) -> str:
        """The checksum as HTTP's Content-MD5 has it: in base64."""
        return b64encode(bytes.fromhex(self.md5)).decode()


@dataclass(frozen=True)
class Shipment:
    """Files that go up together, and what a store may note beside each of them."""

    run_id: str
    folder: str  # in the store: the run's id, or nothing for what belongs to all runs
    files: tuple[OutgoingFile, ...]
    labels: Mapping[str, str] = field(default_factory=dict)

    def place(self, file: OutgoingFile) -> str:
        """Where in the store a file goes, with slashes."""
        return f"{self.folder}/{file.name}".lstrip("/")

    def artifact(self, file: OutgoingFile, url: str, error: str | None = None, *, sent: bool = True) -> Artifact:
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


def outgoing(path: Path, name: str) -> OutgoingFile:
    """A file, looked at; raises StoreError where it cannot be read."""
    try:
        return OutgoingFile(path, name, path.stat().st_size, md5_of(path), content_type_of(name))
    except OSError as error:
        raise StoreError(f"Cannot read {error.filename}: {error.strerror}", "Make it readable.") from None


def report_files(report: Path) -> list[OutgoingFile]:
    """All files of a report, in order of their names; raises StoreError where there are none."""
    paths = [path for path in sorted(report.rglob("*")) if path.is_file()]
    if not paths:
        raise StoreError(
            f"There is no report in {report}", "Draw it with `shapebench report RUN_ID`, then send it again."
        )
    return [outgoing(path, path.relative_to(report).as_posix()) for path in paths]


def sample_files(run: Path) -> list[OutgoingFile]:
    """The raw samples in a run's folder, and what its server said of itself: its Parquet files."""
    return [outgoing(path, f"samples/{path.name}") for path in sorted(run.glob("*.parquet"))]


def md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def content_type_of(name: str) -> str:
    kind, encoding = TYPES.guess_type(name)
    return OCTETS if kind is None or encoding else kind  # the type guessed for x.csv.gz is that of x.csv
