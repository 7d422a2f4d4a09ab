"""From the report's folder to where people find it, with a record of what arrived."""

from shapebench import rows, stores, warehouse
from shapebench.errors import ShapebenchError
from shapebench.records import Artifact
from shapebench.spec import Spec


class PublishError(ShapebenchError):
    """Not every file arrived."""


def publish(spec: Spec, run_id: str) -> list[Artifact]:
    """Send a run's report to the store that the spec names and record each file; raises PublishError or StoreError."""
    sent = stores.send(spec, run_id, spec.data / "reports" / run_id)
    warehouse.load(spec.data, run_id, rows.artifact_tables(sent))
    if failed := [artifact for artifact in sent if artifact.error]:
        reasons = "\n".join(f"  {artifact.name}: {artifact.error}" for artifact in failed)
        raise PublishError(
            f"{len(failed)} of {len(sent)} files did not arrive:\n{reasons}",
            f"`shapebench publish {run_id}` sends them again; the report in {spec.data / 'reports' / run_id} is whole.",
        )
    return sent
