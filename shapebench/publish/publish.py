"""Publish a run's files and record what arrived."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shapebench.errors import ShapebenchError
from shapebench.publish import targets
from shapebench.publish.targets.upload_batch import (
    OutgoingFile,
    StoreError,
    UploadBatch,
    outgoing_file,
    report_files,
    sample_files,
)
from shapebench.results import database, rows
from shapebench.runs.records import Artifact, Link
from shapebench.spec.model import Spec

ALL_RUNS = ""  # the folder in the target of files of all runs


class PublishError(ShapebenchError):
    """A file could not be published."""


def publish(spec: Spec, run_id: str) -> list[Artifact]:
    """Send a run's report and all files that the spec includes, and record each; raises PublishError or StoreError.

    Unchanged files are not sent again, so a second call resumes an interrupted one.
    """
    files = report_files(spec.data / "reports" / run_id)
    if "samples" in spec.publish.include:
        files += sample_files(spec.data / "runs" / run_id)
    sent = _send(spec, UploadBatch(run_id, run_id, tuple(files), _labels(spec, run_id)))
    if "database" in spec.publish.include:
        sent += _send_database(spec, run_id, sent)
    return sent


def extend_include(spec: Spec, names: Iterable[str]) -> Spec:
    """Return the spec with more names in publish.include."""
    include = tuple(dict.fromkeys((*spec.publish.include, *names)))
    return spec.model_copy(update={"publish": spec.publish.model_copy(update={"include": include})})


def share(spec: Spec, run_id: str, days: int) -> Link:
    """Create a link that opens a published report for some days, and record it without its URL."""
    link = targets.share(spec, run_id, days)
    known = database.query(spec.data, "FROM shared_links WHERE run_id = ?", [run_id]).to_pylist()
    database.load(spec.data, run_id, rows.link_table([*known, rows.link_row(link)]))
    return link


def days_to_share(spec: Spec, run_id: str, requested: int | None) -> int | None:
    """Return the lifetime of the link to create, None for no link; raises StoreError.

    It is the requested one, or that of the spec where no earlier link is still valid.
    """
    if requested:
        targets.sharing_target(spec)  # raises before anything is sent
        return requested
    days = spec.publish.oci.share_for_days if spec.publish.oci else None
    return days if days and not shared_until(spec, run_id) else None


def shared_until(spec: Spec, run_id: str) -> datetime | None:
    """Return the expiry of the last recorded link to a run's report, None where none is valid."""
    [row] = _query(spec, "SELECT max(expires_at) AS last FROM shared_links WHERE run_id = ?", run_id) or [{}]
    last: datetime | None = row["last"].replace(tzinfo=UTC) if row.get("last") else None
    return last if last and last > datetime.now(UTC) else None


def _labels(spec: Spec, run_id: str) -> dict[str, str]:
    """Return the metadata of each object, for people who browse a bucket."""
    labels = {"run-id": run_id, "model": spec.endpoint.model, "shape": spec.endpoint.shape}
    for run in _query(spec, "SELECT verdict FROM runs WHERE run_id = ?", run_id):
        labels["verdict"] = run["verdict"] or "unknown"
    return labels


def _query(spec: Spec, sql: str, run_id: str) -> list[dict[str, Any]]:
    exists = (spec.data / database.FILE_NAME).exists()
    return database.query(spec.data, sql, [run_id]).to_pylist() if exists else []


def _send_database(spec: Spec, run_id: str, earlier: list[Artifact]) -> list[Artifact]:
    """Send a copy of the results file, which has the run's other files on record by now."""
    on_record = [replace(artifact, sent=False) for artifact in earlier]
    with _snapshot(spec.data) as copy:
        return _send(spec, UploadBatch(run_id, ALL_RUNS, (copy,)), on_record)


@contextmanager
def _snapshot(data: Path) -> Iterator[OutgoingFile]:
    """Copy the results file; a load replaces the file, and an opened one stays unchanged."""
    with tempfile.TemporaryDirectory(prefix=".snapshot-", dir=data) as folder:
        copy = Path(folder) / database.FILE_NAME
        try:
            with (data / database.FILE_NAME).open("rb") as file, copy.open("wb") as written:
                shutil.copyfileobj(file, written)
        except OSError as error:
            raise StoreError(
                f"{data / database.FILE_NAME} cannot be copied: {error.strerror}",
                "Check that it exists and that the disk has space, or remove `database` from publish.include.",
            ) from None
        yield outgoing_file(copy, database.FILE_NAME)


def _send(spec: Spec, batch: UploadBatch, earlier: list[Artifact] | None = None) -> list[Artifact]:
    """Send files and record the result of each, also after an error; `earlier` files are recorded with them."""
    sent: list[Artifact] = []
    try:
        sent.extend(targets.send(spec, batch))
    except StoreError as error:
        unsent = [batch.artifact(file, "", error.problem) for file in batch.files[len(sent) :]]
        _record(spec, batch.run_id, [*(earlier or []), *sent, *unsent])
        raise
    _record(spec, batch.run_id, [*(earlier or []), *sent])
    if failed := [artifact for artifact in sent if artifact.error]:
        reasons = "\n".join(f"  {artifact.name}: {artifact.error}" for artifact in failed)
        raise PublishError(
            f"{len(failed)} of {len(sent)} files could not be published:\n{reasons}",
            f"`shapebench publish {batch.run_id}` sends them again; {spec.data} is complete.",
        )
    return sent


def _record(spec: Spec, run_id: str, artifacts: list[Artifact]) -> None:
    """Record the results of sending; files that were not sent keep the time of the earlier upload.

    The results file itself is recorded only if it failed: it cannot contain its own checksum, and a row for it would
    change the file each time.
    """
    known = {row["name"]: _parse_artifact(row) for row in _query(spec, "FROM artifacts WHERE run_id = ?", run_id)}
    current = {artifact.name: artifact for artifact in artifacts}
    elsewhere = {name: earlier for name, earlier in known.items() if name not in current and _keep(earlier)}
    recorded = elsewhere | {
        name: known[name] if _is_unchanged(artifact, known.get(name)) else artifact
        for name, artifact in current.items()
        if artifact.error or name != database.FILE_NAME
    }
    if recorded != known:
        database.load(spec.data, run_id, rows.artifact_tables(recorded.values()))


def _parse_artifact(row: dict[str, Any]) -> Artifact:
    return Artifact(**{**row, "published_at": row["published_at"].replace(tzinfo=UTC)})


def _keep(earlier: Artifact) -> bool:
    """Keep files that arrived once; drop those that never did and are no longer part of the report."""
    return earlier.error is None or earlier.name == database.FILE_NAME


def _is_unchanged(artifact: Artifact, earlier: Artifact | None) -> bool:
    if earlier is None or artifact.sent:
        return False
    return replace(artifact, published_at=earlier.published_at, sent=earlier.sent) == earlier
