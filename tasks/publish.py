"""Publication to a folder or to OCI Object Storage."""

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from shapebench.publish.publish import PublishError
from shapebench.publish.publish import publish as publish_report
from shapebench.runs.records import Artifact, Run
from shapebench.support import credentials
from shapebench.support.run_log import milestone
from shapebench.support.timing import timing
from tasks.prefect.blocks import credentials_from_blocks


def single_files_failed(_task: Task[..., object], _run: TaskRun, state: State[object]) -> bool:
    """Retry only if single files failed: a missing bucket or a rejected key does not repair itself."""
    return isinstance(state.result(raise_on_failure=False), PublishError)


@task(
    name="publish",
    retries=2,
    retry_delay_seconds=list(timing().retry_delays_s),
    retry_condition_fn=single_files_failed,
    cache_policy=NO_CACHE,
)
def publish(run: Run) -> list[Artifact]:
    with credentials_from_blocks(run.spec, (credentials.OCI_CREDENTIALS,)):
        published = publish_report(run.spec, run.run_id)
    there = sum(not artifact.sent for artifact in published)
    words = "{files} files to {place}" + (", {there} of them unchanged" if there else "")
    milestone("publish", words, files=len(published), place=published[0].url.rpartition("/")[0], there=there)
    _log_how_to_share(run)
    return published


def _log_how_to_share(run: Run) -> None:
    """Log how to create a link, never the link itself: everyone who reaches the Prefect server can read its logs."""
    oci = run.spec.publish.oci
    if oci and oci.share_for_days:
        words = "`shapebench publish {run_id}` creates a link to share, valid for {days} days"
        milestone("publish", words, run_id=run.run_id, days=oci.share_for_days)
