"""To a folder or to OCI Object Storage."""

from typing import Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from shapebench.publish.publish import PublishError
from shapebench.publish.publish import publish as publish_report
from shapebench.runs.records import Artifact, Run
from shapebench.support import credentials as vault
from shapebench.support.run_log import milestone
from shapebench.support.timing import timing
from tasks.prefect.blocks import unlocked


def single_files_failed(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """A bucket that is not there, or a key that is refused, will not be right in ten seconds."""
    return isinstance(state.result(raise_on_failure=False), PublishError)


@task(
    name="publish",
    retries=2,
    retry_delay_seconds=list(timing().retry_delays_s),
    retry_condition_fn=single_files_failed,
    cache_policy=NO_CACHE,
)
def publish(run: Run) -> list[Artifact]:
    with unlocked(run.spec, (vault.OCI_CREDENTIALS,)):
        published = publish_report(run.spec, run.run_id)
    there = sum(not artifact.sent for artifact in published)
    words = "{files} files to {place}" + (", of which {there} were there already" if there else "")
    milestone("publish", words, files=len(published), place=published[0].url.rpartition("/")[0], there=there)
    _tell_how_to_share(run)
    return published


def _tell_how_to_share(run: Run) -> None:
    """A link is for a terminal: whatever a flow says is kept, and can be read by all who reach the Prefect server."""
    oci = run.spec.publish.oci
    if oci and oci.share_for_days:
        words = "`shapebench publish {run_id}` shows a link to share, good for {days} days"
        milestone("publish", words, run_id=run.run_id, days=oci.share_for_days)
