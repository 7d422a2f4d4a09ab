"""Reports as they are handed to a store."""

from pathlib import Path

from shapebench.publish.targets import send
from shapebench.publish.targets.upload_batch import UploadBatch, report_files
from shapebench.runs.records import Artifact
from shapebench.spec.model import Spec

RUN_ID = "r1"


def batch(report: Path, run_id: str = RUN_ID, **labels: str) -> UploadBatch:
    return UploadBatch(run_id, run_id, tuple(report_files(report)), labels)


def sent(spec: Spec, report: Path, run_id: str = RUN_ID, **labels: str) -> list[Artifact]:
    """What became of each file of a report, sent to the store of the spec."""
    return list(send(spec, batch(report, run_id, **labels)))
