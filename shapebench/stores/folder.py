"""Reports to a folder: a disk, a network share, or what a web server shows."""

import os
import shutil
from pathlib import Path
from tempfile import mkstemp

from shapebench.records import Artifact
from shapebench.spec import Spec
from shapebench.stores.files import ReportFile, StoreError, md5_of, report_files


def send(spec: Spec, run_id: str, report: Path) -> list[Artifact]:
    """Copy a report to FOLDER/RUN_ID; a reader sees each file as it was or as it is now, never a part of it."""
    files = report_files(report)
    target = (spec.publish.folder or spec.data / "published").expanduser().resolve() / run_id
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"Cannot make the folder {target}: {error.strerror}", "Set publish.folder to one that can be written to."
        ) from None
    return [_store(file, target / file.name, run_id) for file in files]


def _store(file: ReportFile, destination: Path, run_id: str) -> Artifact:
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        error = _copy(file, destination)
    except OSError as failure:
        error = failure.strerror or str(failure)
    return file.artifact(run_id, destination.as_uri(), error)


def _copy(file: ReportFile, destination: Path) -> str | None:
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
