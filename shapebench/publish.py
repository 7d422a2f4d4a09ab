"""From the report's folder to where people find it, with a record of what arrived."""

from shapebench import rows, stores, warehouse
from shapebench.errors import ShapebenchError
from shapebench.records import Artifact
from shapebench.spec import Spec
from shapebench.stores.files import StoreError, report_files


class PublishError(ShapebenchError):
    """Not every file arrived."""


def publish(spec: Spec, run_id: str) -> list[Artifact]:
    """Send a run's report to the store that the spec names and record each file; raises PublishError or StoreError."""
    report = spec.data / "reports" / run_id
    try:
        sent = stores.send(spec, run_id, report)
    except StoreError as error:  # some files may have arrived; sending them again does no harm
        _record(spec, run_id, [file.artifact(run_id, "", error.problem) for file in report_files(report)])
        raise
    _record(spec, run_id, sent)
    if failed := [artifact for artifact in sent if artifact.error]:
        reasons = "\n".join(f"  {artifact.name}: {artifact.error}" for artifact in failed)
        raise PublishError(
            f"{len(failed)} of {len(sent)} files did not arrive:\n{reasons}",
            f"`shapebench publish {run_id}` sends them again; the report in {report} is whole.",
        )
    return sent


def _record(spec: Spec, run_id: str, artifacts: list[Artifact]) -> None:
    warehouse.load(spec.data, run_id, rows.artifact_tables(artifacts))
