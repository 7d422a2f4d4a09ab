"""What every store needs to know of a report: its files, their types and their checksums."""

import hashlib
import mimetypes
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from shapebench.errors import ShapebenchError
from shapebench.records import Artifact

OCTETS = "application/octet-stream"
TYPES = mimetypes.MimeTypes()  # Python's own table, not the machine's, so that a file has one type everywhere
TYPES.add_type("application/vnd.apache.parquet", ".parquet")
TYPES.add_type("application/yaml", ".yaml")
TYPES.add_type("image/svg+xml", ".svg")
TYPES.add_type("text/markdown", ".md")


class StoreError(ShapebenchError):
    """A report could not be sent at all."""


@dataclass(frozen=True)
class ReportFile:
    """One file of a report as it lies on disk; `md5` is in hexadecimal, as md5sum prints it."""

    path: Path
    name: str  # relative to the report, with slashes
    size_bytes: int
    md5: str
    content_type: str

    @property
    def content_md5(self) -> str:
        """The checksum as HTTP's Content-MD5 has it: in base64."""
        return b64encode(bytes.fromhex(self.md5)).decode()

    def artifact(self, run_id: str, url: str, error: str | None = None) -> Artifact:
        return Artifact(
            run_id=run_id,
            name=self.name,
            url=url,
            size_bytes=self.size_bytes,
            md5=self.md5,
            content_type=self.content_type,
            published_at=datetime.now(UTC),
            error=error,
        )


def md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def content_type_of(name: str) -> str:
    kind, encoding = TYPES.guess_type(name)
    return OCTETS if kind is None or encoding else kind  # the type guessed for x.csv.gz is that of x.csv


def report_files(report: Path) -> list[ReportFile]:
    """All files of a report, in order of their names; raises StoreError where there are none."""
    try:
        files = [_read(report, path) for path in sorted(report.rglob("*")) if path.is_file()]
    except OSError as error:
        raise StoreError(f"Cannot read {error.filename}: {error.strerror}", "Make the report readable.") from None
    if not files:
        raise StoreError(
            f"There is no report in {report}", "Draw it with `shapebench report RUN_ID`, then send it again."
        )
    return files


def _read(report: Path, path: Path) -> ReportFile:
    name = path.relative_to(report).as_posix()
    return ReportFile(path, name, path.stat().st_size, md5_of(path), content_type_of(name))
