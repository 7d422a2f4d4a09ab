"""From the run's folders to where people find them, with a record of what arrived."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shapebench.errors import ShapebenchError
from shapebench.publish import targets as stores
from shapebench.publish.targets.upload_batch import (
    OutgoingFile,
    Shipment,
    StoreError,
    outgoing,
    report_files,
    sample_files,
)
from shapebench.results import database as warehouse
from shapebench.results import rows
from shapebench.runs.records import Artifact, Link
from shapebench.spec.model import Spec

OF_ALL_RUNS = ""  # the folder in the store of what belongs to no single run


class PublishError(ShapebenchError):
    """Not every file arrived."""


def publish(spec: Spec, run_id: str) -> list[Artifact]:
    """Send a run's report, and what else the spec includes, and record each file; raises PublishError or StoreError.

    What is there already is not sent again, so that this goes on where an earlier try has stopped.
    """
    files = report_files(spec.data / "reports" / run_id)
    if "samples" in spec.publish.include:
        files += sample_files(spec.data / "runs" / run_id)
    sent = _sent(spec, Shipment(run_id, run_id, tuple(files), _labels(spec, run_id)))
    if "database" in spec.publish.include:
        sent += _database(spec, run_id, sent)
    return sent


def including(spec: Spec, also: Iterable[str]) -> Spec:
    """The spec, with more to be sent beside the report, by the names that publish.include has for it."""
    include = tuple(dict.fromkeys((*spec.publish.include, *also)))
    return spec.model_copy(update={"publish": spec.publish.model_copy(update={"include": include})})


def share(spec: Spec, run_id: str, days: int) -> Link:
    """A link with which anybody can read a published report for some days, on record but for its URL."""
    link = stores.share(spec, run_id, days)
    known = warehouse.query(spec.data, "FROM shared_links WHERE run_id = ?", [run_id]).to_pylist()
    warehouse.load(spec.data, run_id, rows.link_table([*known, rows.link_row(link)]))
    return link


def days_to_share(spec: Spec, run_id: str, asked: int | None) -> int | None:
    """For how long a link is to be made: as asked, or as the spec says where none is left; raises StoreError."""
    if asked:
        stores.bucket_of(spec)  # refused before anything is sent
        return asked
    wanted = spec.publish.oci.share_for_days if spec.publish.oci else None
    return wanted if wanted and not shared_until(spec, run_id) else None


def shared_until(spec: Spec, run_id: str) -> datetime | None:
    """When the last link to a run's report expires, as far as is on record; None where there is none left."""
    [row] = _stored(spec, "SELECT max(expires_at) AS last FROM shared_links WHERE run_id = ?", run_id) or [{}]
    last: datetime | None = row["last"].replace(tzinfo=UTC) if row.get("last") else None
    return last if last and last > datetime.now(UTC) else None


def _labels(spec: Spec, run_id: str) -> dict[str, str]:
    """What is noted beside each object, for those who look through a bucket."""
    labels = {"run-id": run_id, "model": spec.endpoint.model, "shape": spec.endpoint.shape}
    for run in _stored(spec, "SELECT verdict FROM runs WHERE run_id = ?", run_id):
        labels["verdict"] = run["verdict"] or "unknown"
    return labels


def _stored(spec: Spec, sql: str, run_id: str) -> list[dict[str, Any]]:
    there = (spec.data / warehouse.FILE_NAME).exists()
    return warehouse.query(spec.data, sql, [run_id]).to_pylist() if there else []


def _database(spec: Spec, run_id: str, earlier: list[Artifact]) -> list[Artifact]:
    """Send a copy of the results file, in which the run's other files are on record by now."""
    on_record = [replace(artifact, sent=False) for artifact in earlier]  # there already, as far as this goes
    with _snapshot(spec.data) as copy:
        return _sent(spec, Shipment(run_id, OF_ALL_RUNS, (copy,)), on_record)


@contextmanager
def _snapshot(data: Path) -> Iterator[OutgoingFile]:
    """A copy: loads replace the file, and what has been opened stays what it was."""
    with tempfile.TemporaryDirectory(prefix=".snapshot-", dir=data) as folder:
        copy = Path(folder) / warehouse.FILE_NAME
        try:
            with (data / warehouse.FILE_NAME).open("rb") as file, copy.open("wb") as written:
                shutil.copyfileobj(file, written)
        except OSError as error:
            raise StoreError(
                f"{data / warehouse.FILE_NAME} cannot be copied: {error.strerror}",
                "See that it is there and the disk has room, or leave `database` out of publish.include.",
            ) from None
        yield outgoing(copy, warehouse.FILE_NAME)


def _sent(spec: Spec, shipment: Shipment, earlier: list[Artifact] | None = None) -> list[Artifact]:
    """Send, and record what became of each file, however it ends; `earlier` files are on record with these."""
    sent: list[Artifact] = []
    try:
        sent.extend(stores.send(spec, shipment))
    except StoreError as error:
        left = [shipment.artifact(file, "", error.problem) for file in shipment.files[len(sent) :]]
        _record(spec, shipment.run_id, [*(earlier or []), *sent, *left])
        raise
    _record(spec, shipment.run_id, [*(earlier or []), *sent])
    if failed := [artifact for artifact in sent if artifact.error]:
        reasons = "\n".join(f"  {artifact.name}: {artifact.error}" for artifact in failed)
        raise PublishError(
            f"{len(failed)} of {len(sent)} files did not arrive:\n{reasons}",
            f"`shapebench publish {shipment.run_id}` sends them again; what is in {spec.data} is whole.",
        )
    return sent


def _record(spec: Spec, run_id: str, artifacts: list[Artifact]) -> None:
    """Of what was there already, the time at which it was sent stays; where nothing is new, so does the results file.

    The results file itself is on record only where it failed: it cannot hold its own checksum, and a row for it would
    make it another file each time.
    """
    known = {row["name"]: _as_artifact(row) for row in _stored(spec, "FROM artifacts WHERE run_id = ?", run_id)}
    told = {artifact.name: artifact for artifact in artifacts}
    elsewhere = {name: earlier for name, earlier in known.items() if name not in told and _stays(earlier)}
    current = elsewhere | {
        name: known[name] if _is_known(artifact, known.get(name)) else artifact
        for name, artifact in told.items()
        if artifact.error or name != warehouse.FILE_NAME
    }
    if current != known:
        warehouse.load(spec.data, run_id, rows.artifact_tables(current.values()))


def _as_artifact(row: dict[str, Any]) -> Artifact:
    return Artifact(**{**row, "published_at": row["published_at"].replace(tzinfo=UTC)})


def _stays(earlier: Artifact) -> bool:
    """A file that arrived once is still there; one that never did, and is no part of the report now, is forgotten."""
    return earlier.error is None or earlier.name == warehouse.FILE_NAME


def _is_known(artifact: Artifact, earlier: Artifact | None) -> bool:
    if earlier is None or artifact.sent:
        return False
    return replace(artifact, published_at=earlier.published_at, sent=earlier.sent) == earlier
