"""To a folder or to OCI Object Storage."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.publish import publish as publish_report
from shapebench.records import Artifact, Run


@task(name="publish", retries=2, retry_delay_seconds=[2, 10], cache_policy=NO_CACHE)
def publish(run: Run) -> list[Artifact]:
    return publish_report(run.spec, run.run_id)
