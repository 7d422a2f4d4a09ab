"""Probe of the endpoint: its health and its properties."""

from collections.abc import Callable

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from shapebench.probe.known_server import record_facts
from shapebench.probe.probe import is_transient
from shapebench.probe.probe import probe as probe_endpoint
from shapebench.runs.records import Run, ServerFacts
from shapebench.support.run_log import milestone
from shapebench.support.timing import timing


def should_retry(_task: Task[..., object], _run: TaskRun, state: State[object]) -> bool:
    """Retry only if a healthy server stopped answering: a wrong model does not repair itself."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and is_transient(error)


@task(
    name="probe",
    retries=2,
    retry_delay_seconds=list(timing().retry_delays_s),
    retry_condition_fn=should_retry,
    cache_policy=NO_CACHE,
)
def probe(run: Run, still_starting: Callable[[], None]) -> ServerFacts:
    spec = run.spec
    levels = ", ".join(map(str, spec.load.levels))
    about = {"run_id": run.run_id, "model": spec.endpoint.model, "url": spec.endpoint.url, "levels": levels}
    milestone("begin", "run {run_id} of {model} at {url}, concurrency {levels}", **about)
    facts = record_facts(run, probe_endpoint(spec, still_starting))
    server = f"{facts.server} {facts.version or 'of unknown version'}"
    milestone("probe", "{server} answers, and serves {model}", server=server, model=spec.endpoint.model)
    return facts
