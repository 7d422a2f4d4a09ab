"""To a folder or to OCI Object Storage."""

from typing import Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from shapebench.publish import PublishError
from shapebench.publish import publish as publish_report
from shapebench.records import Artifact, Run


def single_files_failed(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """A bucket that is not there, or a key that is refused, will not be right in ten seconds."""
    return isinstance(state.result(raise_on_failure=False), PublishError)


@task(
    name="publish",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=single_files_failed,
    cache_policy=NO_CACHE,
)
def publish(run: Run) -> list[Artifact]:
    return publish_report(run.spec, run.run_id)
