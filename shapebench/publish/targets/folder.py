"""Reports to a folder: a disk, a network share, or what a web server shows."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkstemp

from shapebench.publish.targets.upload_batch import OutgoingFile, Shipment, StoreError, md5_of
from shapebench.runs.records import Artifact
from shapebench.spec.model import Spec


def send(spec: Spec, shipment: Shipment) -> Iterator[Artifact]:
    """Copy files to FOLDER/RUN_ID; a reader sees each file as it was or as it is now, never a part of it."""
    root = (spec.publish.folder or spec.data / "published").expanduser().resolve()
    target = root / shipment.folder
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"Cannot make the folder {target}: {error.strerror}", "Set publish.folder to one that can be written to."
        ) from None
    for file in shipment.files:
        yield _store(shipment, file, root / shipment.place(file))


def _store(shipment: Shipment, file: OutgoingFile, destination: Path) -> Artifact:
    sent, error = False, None
    try:
        if not _is_there(file, destination):
            destination.parent.mkdir(parents=True, exist_ok=True)
            sent, error = True, _copy(file, destination)
    except OSError as failure:
        sent, error = True, failure.strerror or str(failure)
    return shipment.artifact(file, destination.as_uri(), error, sent=sent)


def _is_there(file: OutgoingFile, destination: Path) -> bool:
    if not destination.is_file() or destination.stat().st_size != file.size_bytes:
        return False
    return md5_of(destination) == file.md5


def _copy(file: OutgoingFile, destination: Path) -> str | None:
    """Copy by way of a neighbour, which takes the place only if it holds the same; returns what went wrong."""
    handle, name = mkstemp(prefix=f".{destination.name}.", dir=destination.parent)
    os.close(handle)
    neighbour = Path(name)
    try:
        shutil.copyfile(file.path, neighbour)
        if (md5 := md5_of(neighbour)) != file.md5:
            return f"the copy differs: MD5 {md5}, not {file.md5}"
        neighbour.chmod(file.path.stat().st_mode & 0o777)  # mkstemp's files are for their owner only
        neighbour.replace(destination)
    finally:
        neighbour.unlink(missing_ok=True)
    return None
