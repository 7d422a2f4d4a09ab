"""Publish to a folder: a disk, a network share, or the root of a web server."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkstemp

from shapebench.publish.targets.upload_batch import OutgoingFile, StoreError, UploadBatch, file_md5
from shapebench.runs.records import Artifact
from shapebench.spec.model import Spec


def send(spec: Spec, batch: UploadBatch) -> Iterator[Artifact]:
    """Copy files to FOLDER/RUN_ID; readers never see a partial file."""
    root = (spec.publish.folder or spec.data / "published").expanduser().resolve()
    target = root / batch.folder
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"Cannot create the folder {target}: {error.strerror}", "Set publish.folder to a writable one."
        ) from None
    for file in batch.files:
        yield _copy_if_changed(batch, file, root / batch.path(file))


def _copy_if_changed(batch: UploadBatch, file: OutgoingFile, destination: Path) -> Artifact:
    sent, error = False, None
    try:
        if not _is_unchanged(file, destination):
            destination.parent.mkdir(parents=True, exist_ok=True)
            sent, error = True, _copy(file, destination)
    except OSError as failure:
        sent, error = True, failure.strerror or str(failure)
    return batch.artifact(file, destination.as_uri(), error, sent=sent)


def _is_unchanged(file: OutgoingFile, destination: Path) -> bool:
    if not destination.is_file() or destination.stat().st_size != file.size_bytes:
        return False
    return file_md5(destination) == file.md5


def _copy(file: OutgoingFile, destination: Path) -> str | None:
    """Copy to a temporary file that replaces the destination if it is intact; returns the error, if any."""
    handle, name = mkstemp(prefix=f".{destination.name}.", dir=destination.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        shutil.copyfile(file.path, temporary)
        if (md5 := file_md5(temporary)) != file.md5:
            return f"the copy differs: MD5 {md5}, not {file.md5}"
        temporary.chmod(file.path.stat().st_mode & 0o777)  # mkstemp's files are for their owner only
        temporary.replace(destination)
    finally:
        temporary.unlink(missing_ok=True)
    return None
